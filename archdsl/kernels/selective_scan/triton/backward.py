"""The backward of the selective scan in Triton: its launches, and how work is shared out."""
# ruff: noqa: N815 (the names of the formula)

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


class Plan(NamedTuple):
    """How the work is shared out.

    Args:
        channels: of a program, a power of two.
        states: n, filled up to a power of two.
        steps: that are read and written at once; divides `CHUNK`.
        group: steps whose states are held in registers at once; divides `CHUNK`.
        warps: of a program.
        chunks: of a segment.
    """

    channels: int
    states: int
    steps: int
    group: int
    warps: int
    chunks: int


class Work(NamedTuple):
    """The launches of a backward, in order, and the tensors that they fill, see `gradients_of_segments`."""

    launches: tuple[Launch, ...]
    du: Tensor
    ddelta: Tensor
    dA: Tensor
    dB: Tensor
    dC: Tensor
    dD: Tensor
    dz: Tensor | None
    dbias: Tensor


def plan_of(x: Inputs) -> Plan:
    """Enough programs to keep a device busy, each with as much as its registers hold."""
    routes, batch, length, channels = x.u.shape
    states = _power_of_two(x.A.shape[-1])
    fitting = TILE * MOST_WARPS // states
    block = max(1, min(max(TILE // states, FEWEST_CHANNELS), MOST_CHANNELS, fitting, _power_of_two(channels)))
    warps = min(max(1, block * states // TILE), MOST_WARPS)
    steps = min(CHUNK, TILE_OF_STEPS // block)
    programs = routes * batch * _count(channels, block)
    return Plan(block, states, steps, GROUP, warps, _count(segment_of(programs, length), CHUNK))


def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
    """The gradients of the inputs, from the gradient `dout` of the output and what a forward saved.

    The same every time: what several programs contribute to is summed in a fixed order.
    """
    return gradients(dout, x, states, ungated, plan_of(x))


def gradients(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor, plan: Plan) -> Gradients:
    """The same, with the work shared out as the plan says."""
    work = prepared(dout, x, states, ungated, plan)
    for launch in work.launches:
        launch.run()
    return Gradients(
        work.du,
        work.ddelta,
        work.dA.sum((0, 1)).to(x.A.dtype),
        work.dB.sum(0).to(x.B.dtype),
        work.dC.sum(0).to(x.C.dtype),
        None if x.D is None else work.dD.sum((0, 1)).to(x.D.dtype),
        work.dz,
        None if x.delta_bias is None else work.dbias.sum((0, 1)).to(x.delta_bias.dtype),
    )


def prepared(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor, plan: Plan) -> Work:
    """The launches for a plan, with room for what they write; tensors may be on `meta`."""
    routes, batch, length, channels = x.u.shape
    n = x.A.shape[-1]
    blocks = _count(channels, plan.channels)
    segments = _count(_count(length, CHUNK), plan.chunks)
    programs = routes * batch * segments * blocks

    def room(*shape: int) -> Tensor:
        return x.u.new_empty(shape, dtype=torch.float32)

    du, ddelta = (empty(tuple(x.u.shape), x.u.dtype, x.layout, x.u) for _ in range(2))
    dz = None if x.z is None else empty(tuple(x.z.shape), x.z.dtype, x.layout, x.u)
    dA = room(batch, segments, routes, channels, n)
    dD = room(batch, segments, routes, channels) if x.D is not None else x.u
    dbias = room(batch, segments, routes, channels) if x.delta_bias is not None else x.u
    dB, dC = room(blocks, routes, batch, length, n), room(blocks, routes, batch, length, n)
    carry = room(routes, batch, segments, channels, n) if segments > 1 else x.u
    values: dict[str, Any] = {
        "dout": dout,
        "u": x.u,
        "delta": x.delta,
        "A": x.A,
        "B": x.B,
        "C": x.C,
        "D": x.u if x.D is None else x.D,
        "z": x.u if x.z is None else x.z,
        "bias": x.u if x.delta_bias is None else x.delta_bias,
        "paths": x.u if x.paths is None else x.paths,
        "saved": states,
        "ungated": x.u if x.z is None else ungated,
        "carry": carry,
        "scratch": room(programs, plan.channels, CHUNK // plan.group * plan.states + 5 * CHUNK),
        "du": du,
        "ddelta": ddelta,
        "dz": du if dz is None else dz,
        "dA": dA,
        "dB": dB,
        "dC": dC,
        "dD": dD,
        "dbias": dbias,
        "dout_strides": _strides(dout),
        "u_strides": _strides(x.u),
        "delta_strides": _strides(x.delta),
        "B_strides": _strides(x.B),
        "C_strides": _strides(x.C),
        "z_strides": _strides(x.z),
        "ungated_strides": _strides(None if x.z is None else ungated),
        "du_strides": _strides(du),
        "dz_strides": _strides(dz),
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
    return Work(launches, du, ddelta, dA, dB, dC, dD, dz, dbias)


def _kernels(segments: int, programs: int) -> Iterator[tuple[Any, int]]:
    """The kernels that are launched, and how many programs of each."""
    if segments > 1:
        yield carry_of_segments, programs
        yield carry_between_segments, programs // segments
    yield gradients_of_segments, programs


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
