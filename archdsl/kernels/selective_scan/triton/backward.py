"""The backward of the selective scan in Triton: its launches, and how work is shared out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.launch import Launch
from archdsl.kernels.selective_scan.inputs import CHUNK, Gradients, Inputs, empty
from archdsl.kernels.selective_scan.triton.blocks import segment_of
from archdsl.kernels.selective_scan.triton.carry import carry_between_segments, carry_of_segments
from archdsl.kernels.selective_scan.triton.gradients import gradients_of_segments

TILE = 256
"""Numbers of the state that a warp holds; 8 in each of its threads."""
MOST_WARPS = 8
GROUP = 4
"""Steps whose states are held in registers at once."""
FEWEST_CHANNELS, MOST_CHANNELS = 16, 32
"""Channels of a program: 16 of two bytes fill a sector of memory."""
TILE_OF_STEPS = 512
"""Numbers of a sequence that a program reads at once."""
MOST_PROGRAMS = 4096
"""Programs of a launch: several times what a large GPU runs at once. Each needs memory of its own."""


class Plan(NamedTuple):
    """How the work is shared out.

    Args:
        channels: of a program, a power of two.
        states: n, filled up to a power of two.
        steps: that are read and written at once; divides `CHUNK`.
        group: steps whose states are held in registers at once; divides `CHUNK`.
        warps: of a program.
        chunks: of a segment.
        images: of a launch.
    """

    channels: int
    states: int
    steps: int
    group: int
    warps: int
    chunks: int
    images: int


class Sequences(NamedTuple):
    """Gradients that kernels write as they are returned; `z` where there is a gate."""

    u: Tensor
    delta: Tensor
    z: Tensor | None


class Parts(NamedTuple):
    """Gradients that several programs contribute to, in parts, see `gradients_of_segments`."""

    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    delta_bias: Tensor | None


class Work(NamedTuple):
    """Launches, in order, and the parts that they fill."""

    launches: tuple[Launch, ...]
    parts: Parts


def plan_of(x: Inputs) -> Plan:
    """Enough programs to keep a device busy, each with as much as its registers hold."""
    routes, batch, length, channels = x.u.shape
    states = _power_of_two(x.A.shape[-1])
    fitting = TILE * MOST_WARPS // states
    block = max(1, min(max(TILE // states, FEWEST_CHANNELS), MOST_CHANNELS, fitting, _power_of_two(channels)))
    warps = min(max(1, block * states // TILE), MOST_WARPS)
    steps = min(CHUNK, TILE_OF_STEPS // block)
    programs = routes * _count(channels, block)
    chunks = _count(segment_of(programs * batch, length), CHUNK)
    images = max(1, MOST_PROGRAMS // (programs * _count(length, chunks * CHUNK)))
    return Plan(block, states, steps, GROUP, warps, chunks, _count(batch, _count(batch, images)))


def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
    """The gradients of the inputs, from the gradient `dout` of the output and what a forward saved.

    The same every time: what several programs contribute to is summed in a fixed order.
    """
    return gradients(dout, x, states, ungated, plan_of(x))


def gradients(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor, plan: Plan) -> Gradients:
    """The same, with the work shared out as the plan says."""
    batch = x.u.shape[1]
    room = room_for(x)
    dB, dC = (torch.empty_like(v, memory_format=torch.contiguous_format) for v in (x.B, x.C))
    vectors: list[tuple[Tensor | None, ...]] = []
    for first in range(0, batch, plan.images):
        part = slice(first, min(first + plan.images, batch))
        some = None if x.z is None else ungated[..., part, :, :]
        to = Sequences(*(None if v is None else v[..., part, :, :] for v in room))  # type: ignore[arg-type]
        work = prepared(dout[..., part, :, :], _images(x, part), states[:, part], some, to, plan)
        for launch in work.launches:
            launch.run()
        parts = work.parts
        dB[:, part] = parts.B.sum(0)
        dC[:, part] = parts.C.sum(0)
        vectors.append((_summed(parts.A), _summed(parts.D), _summed(parts.delta_bias)))
    dA, dD, dbias = (_total(vs) for vs in zip(*vectors, strict=True))
    return Gradients(room.u, room.delta, dA, dB, dC, dD, room.z, dbias)  # type: ignore[arg-type]


def room_for(x: Inputs) -> Sequences:
    """Uninitialised gradients of the sequences."""
    u, delta = (empty(tuple(x.u.shape), x.u.dtype, x.layout, x.u) for _ in range(2))
    return Sequences(u, delta, None if x.z is None else empty(tuple(x.z.shape), x.z.dtype, x.layout, x.u))


def prepared(
    dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor | None, to: Sequences, plan: Plan
) -> Work:
    """The launches for a plan, with room for what they write; tensors may be on `meta`."""
    routes, batch, length, channels = x.u.shape
    n = x.A.shape[-1]
    blocks = _count(channels, plan.channels)
    segments = _count(_count(length, CHUNK), plan.chunks)
    programs = routes * batch * segments * blocks

    def room(*shape: int) -> Tensor:
        return x.u.new_empty(shape, dtype=torch.float32)

    parts = Parts(
        room(batch, segments, routes, channels, n),
        room(blocks, routes, batch, length, n),
        room(blocks, routes, batch, length, n),
        None if x.D is None else room(batch, segments, routes, channels),
        None if x.delta_bias is None else room(batch, segments, routes, channels),
    )
    carry = room(routes, batch, segments, channels, n) if segments > 1 else x.u
    values: dict[str, Any] = {
        "dout": dout,
        "u": x.u,
        "delta": x.delta,
        "A": x.A,
        "B": x.B,
        "C": x.C,
        "D": _or(x.D, x.u),
        "z": _or(x.z, x.u),
        "bias": _or(x.delta_bias, x.u),
        "paths": _or(x.paths, x.u),
        "saved": states,
        "ungated": _or(ungated, x.u),
        "carry": carry,
        "scratch": room(programs, plan.channels, CHUNK // plan.group * plan.states + 5 * CHUNK),
        "du": to.u,
        "ddelta": to.delta,
        "dz": _or(to.z, x.u),
        "dA": parts.A,
        "dB": parts.B,
        "dC": parts.C,
        "dD": _or(parts.D, x.u),
        "dbias": _or(parts.delta_bias, x.u),
        "saved_strides": states.stride()[:2],
        "dout_strides": _strides(dout),
        "u_strides": _strides(x.u),
        "delta_strides": _strides(x.delta),
        "B_strides": _strides(x.B),
        "C_strides": _strides(x.C),
        "z_strides": _strides(x.z),
        "ungated_strides": _strides(ungated),
        "du_strides": _strides(to.u),
        "dz_strides": _strides(to.z),
        "sizes": (batch, length, channels, n),
        "routes": routes,
        "chunks_per_segment": plan.chunks,
        "segments": segments,
        "reverse_bits": sum(1 << k for k, reverse in enumerate(x.reverse) if reverse),
        "share": x.share,
        "HAS_D": x.D is not None,
        "HAS_BIAS": x.delta_bias is not None,
        "HAS_PATHS": x.paths is not None,
        "GATED": x.z is not None,
        "MERGED": x.merge != "none",
        "SOFTPLUS": x.delta_softplus,
        "CHUNK": CHUNK,
        "STEPS": plan.steps,
        "GROUP": plan.group,
        "BLOCK_D": plan.channels,
        "BLOCK_N": plan.states,
    }
    if segments > 1:
        values |= {"local": carry, "passed": room(routes, batch, segments, channels)}
    launches = tuple(
        Launch(kernel, count, {name: values[name] for name in kernel.arg_names}, plan.warps)
        for kernel, count in _kernels(segments, programs)
    )
    return Work(launches, parts)


def _kernels(segments: int, programs: int) -> Iterator[tuple[Any, int]]:
    """The kernels that are launched, and how many programs of each."""
    if segments > 1:
        yield carry_of_segments, programs
        yield carry_between_segments, programs // segments
    yield gradients_of_segments, programs


def _images(x: Inputs, part: slice) -> Inputs:
    """The scan of some images."""
    u, delta, B, C = (v[:, part] for v in (x.u, x.delta, x.B, x.C))
    return x._replace(u=u, delta=delta, B=B, C=C, z=None if x.z is None else x.z[..., part, :, :])


def _summed(parts: Tensor | None) -> Tensor | None:
    """The sum over images and segments."""
    return None if parts is None else parts.sum((0, 1))


def _total(sums: tuple[Tensor | None, ...]) -> Tensor | None:
    """The sum of the launches' sums, in their order."""
    given = [v for v in sums if v is not None]
    if len(given) > 1:
        return torch.stack(given).sum(0)
    return given[0] if given else None


def _or(v: Tensor | None, other: Tensor) -> Tensor:
    """Some tensor for an argument that is not looked at."""
    return other if v is None else v


def _strides(v: Tensor | None) -> tuple[int, ...]:
    """Strides along routes, images, steps and channels or states; 0 for routes where they were merged."""
    if v is None:
        return (0, 0, 0, 1)
    return v.stride() if v.ndim == 4 else (0, *v.stride())


def _count(whole: int, part: int) -> int:
    """Parts needed for the whole."""
    return (whole + part - 1) // part


def _power_of_two(count: int) -> int:
    """The next power of two."""
    return 1 << max(0, count - 1).bit_length()
