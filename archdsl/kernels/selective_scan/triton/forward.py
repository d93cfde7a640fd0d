"""The forward of the selective scan in Triton: which kernels run on what, see `scan`."""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor

from archdsl.kernels.launch import Launch, bits
from archdsl.kernels.selective_scan.inputs import CHUNK, Inputs, Outputs, empty, saved_states_shape
from archdsl.kernels.selective_scan.triton.blocks import (
    MERGE,
    WIDEST,
    Blocks,
    blocks_of,
    segment_of,
    steps_last,
)
from archdsl.kernels.selective_scan.triton.scan import carry, merge, scan

POLYNOMIAL = 0
"""Every how many steps the exponentials of the decay are polynomials; 0 is never."""


def forward(x: Inputs, saves: bool) -> Outputs:
    """The output, with states and the output before the gate where `saves`."""
    outputs, launches = plan(x, saves)
    for launch in launches:
        launch.run()
    return outputs


def plan(x: Inputs, saves: bool, segment: int | None = None) -> tuple[Outputs, list[Launch]]:
    """Room for the outputs, and the launches that fill it.

    Args:
        x: the inputs.
        saves: whether states and the output before the gate are kept.
        segment: steps of a segment, a multiple of `CHUNK`; None for what the table says.
    """
    x = readable(x)
    routes, batch, length, channels = x.u.shape
    merged = x.merge != "none"
    shape = (batch, length, channels) if merged else (routes, batch, length, channels)
    y = empty(shape, x.u.dtype, x.layout, x.u)
    gated = saves and x.z is not None
    ungated = empty(shape, x.u.dtype, x.layout, x.u) if gated else x.u.new_empty(0)
    states = x.u.new_empty(saved_states_shape(x.u, x.A) if saves else (0,), dtype=x.state_dtype)
    outputs = Outputs(y, states, ungated)
    if not merged or routes == 1:
        full = (routes, batch, length, channels)
        to = outputs._replace(y=y.view(full), ungated=ungated.view(full) if gated else ungated)
        z = None if x.z is None else x.z.view(full)
        return outputs, scans(x, z, to, segment)
    partial = empty((routes, batch, length, channels), torch.float32, x.layout, x.u)
    launches = scans(x, None, Outputs(partial, states, x.u.new_empty(0)), segment)
    return outputs, [*launches, merging(x, partial, outputs)]


def in_memory_order(x: Inputs) -> bool:
    """Whether threads can take several steps of a channel at once: steps last, in rows of whole tiles."""
    return x.layout == "bdl" and x.paths is None and x.u.shape[2] % steps_last(x.u.dtype) == 0


def readable(x: Inputs) -> Inputs:
    """The same scan with copies, aligned or channels last, of what lies steps last and can't be read so."""
    if x.layout == "bld":
        return x
    aligned = in_memory_order(x)

    def copied(v: Tensor) -> Tensor:
        if not aligned:
            return v.contiguous()
        rows = v.transpose(-1, -2)
        return v if alignment(rows) == WIDEST else rows.clone(memory_format=torch.contiguous_format).mT

    z = x.z if x.z is None or x.merge != "none" else copied(x.z)
    return x._replace(u=copied(x.u), delta=copied(x.delta), z=z)


def scans(x: Inputs, z: Tensor | None, to: Outputs, segment: int | None) -> list[Launch]:
    """The scan into `to` (r, b, l, d), gated by z (r, b, l, d): one launch, three where it is split."""
    routes, batch, length, channels = x.u.shape
    blocks = blocks_of(x.A.shape[2])
    programs = routes * batch * -(-channels // blocks.channels)
    segment = segment_of(programs, length) if segment is None else segment
    segments = -(-length // segment)
    values = _values(x, blocks) | {
        "z": z,
        "y": to.y,
        "ungated": to.ungated if to.ungated.numel() else None,
        "states": to.states if to.states.numel() else None,
        "segment": segment,
        **_strides("z", to.y if z is None else z),
        **_strides("y", to.y),
        "starts": None,
        "sums": None,
        "OUTPUT": True,
        "SPLIT": segments > 1,
    }
    if segments == 1:
        return [Launch(scan, programs, values, blocks.warps)]
    places = (segments, routes, batch)
    values["starts"] = starts = x.A.new_empty((*places, x.A.shape[2], channels))
    sums = x.A.new_empty((*places, channels))
    adds = values | {"z": None, "ungated": None, "states": None, "sums": sums, "OUTPUT": False}
    carrying = {
        "A": x.A,
        "starts": starts,
        "sums": sums,
        "routes": routes,
        "images": batch,
        "channels": channels,
        "segments": segments,
        "STATE": x.A.shape[2],
        "N": blocks.state,
        "CHANNELS": blocks.channels,
    }
    return [
        Launch(scan, programs * segments, adds, blocks.warps),
        Launch(carry, programs, carrying, blocks.warps),
        Launch(scan, programs * segments, values, blocks.warps),
    ]


def merging(x: Inputs, partial: Tensor, to: Outputs) -> Launch:
    """The merge of `partial` (r, b, l, d) and the gate, into `to`."""
    routes, batch = partial.shape[:2]
    z = to.y if x.z is None else x.z
    outer, inner = (1, 2) if x.layout == "bld" else (2, 1)
    sizes = to.y.shape
    values = {
        "partial": partial,
        "z": x.z,
        "y": to.y,
        "ungated": to.ungated if to.ungated.numel() else None,
        "share": x.share,
        "outer": sizes[outer],
        "inner": sizes[inner],
        "partial_r": partial.stride(0),
        "z_b": z.stride(0),
        "z_outer": z.stride(outer),
        "z_inner": z.stride(inner),
        "ROUTES": routes,
        "ROWS": MERGE.rows,
        "COLUMNS": MERGE.columns,
    }
    programs = batch * -(-sizes[outer] // MERGE.rows) * -(-sizes[inner] // MERGE.columns)
    return Launch(merge, programs, values, MERGE.warps)


def _values(x: Inputs, blocks: Blocks) -> dict[str, object]:
    """The arguments of `scan` that depend on the inputs alone."""
    routes, batch, length, channels = x.u.shape
    return {
        "u": x.u,
        "delta": x.delta,
        "A": x.A,
        "B": x.B,
        "C": x.C,
        "D": x.D,
        "bias": x.delta_bias,
        "paths": x.paths,
        "routes": routes,
        "images": batch,
        "length": length,
        "channels": channels,
        "reverse_bits": bits(x.reverse),
        **_strides("u", x.u),
        **_strides("delta", x.delta),
        "A_n": 1,
        **_strides("B", x.B, "rbl"),
        **_strides("C", x.C, "rbl"),
        "B_ALIGNED": alignment(x.B),
        "C_ALIGNED": alignment(x.C),
        "IN_MEMORY_ORDER": in_memory_order(x),
        "STATE": x.A.shape[2],
        "N": blocks.state,
        "CHANNELS": blocks.channels,
        "STEPS": steps_last(x.u.dtype) if in_memory_order(x) else blocks.steps,
        "CHUNK": CHUNK,
        "SOFTPLUS": x.delta_softplus,
        "POLYNOMIAL": POLYNOMIAL,
    }


def alignment(v: Tensor) -> int:
    """How many bytes (1 to 16) divide the addresses of all rows along the last dimension."""
    strides = (s for s, size in zip(v.stride()[:-1], v.shape[:-1], strict=True) if size > 1)
    return gcd(WIDEST, v.data_ptr(), *(s * v.element_size() for s in strides))


def _strides(name: str, v: Tensor, dimensions: str = "rbld") -> dict[str, int]:
    return {f"{name}_{dimension}": stride for dimension, stride in zip(dimensions, v.stride(), strict=False)}
