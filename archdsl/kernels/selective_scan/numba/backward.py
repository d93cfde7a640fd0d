"""The backward of the scan on the CPU: memory for the results, what the kernel is told, and its tasks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from archdsl.kernels.parallel import spread
from archdsl.kernels.selective_scan.inputs import Gradients, Inputs, empty
from archdsl.kernels.selective_scan.numba.backward_memory import Scan
from archdsl.kernels.selective_scan.numba.backward_range import RUN, add_parts, memory_of, scan_back
from archdsl.kernels.simd import BFLOAT16, FLOAT16, FLOAT32

ELEMENTS = {
    torch.float32: FLOAT32.dtype,
    torch.bfloat16: BFLOAT16.dtype,
    torch.float16: FLOAT16.dtype,
}
TASKS = 16
"""Tasks there should be at least, so that threads have as much to do; the sums of a task end with it."""
FEWEST_BLOCKS, MOST_BLOCKS = 4, 32
"""Blocks of sixteen channels in a group: few cost more sums across channels, many more cache."""


MOST_CHUNKS = 16


def groups_of(routes: int, images: int, channels: int) -> int:
    """Into how many groups the channels are divided; the sizes alone decide, results depend on it."""
    blocks = -(-channels // 16)
    wanted = min(-(-TASKS // (routes * images)), blocks // FEWEST_BLOCKS)
    return max(1, wanted, -(-blocks // MOST_BLOCKS))


def span_of(states: int) -> int:
    """How many chunks a block goes through at once where steps are last: memory is read in longer runs.

    The sums across channels of all of them stay in the second cache.
    """
    return max(1, min(MOST_CHUNKS, 64 // states))


def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
    """The gradients of the inputs for `dout`, that of y, from what a forward saved; see `Inputs`."""
    routes, images, steps, channels = x.u.shape
    states = states.contiguous()
    n = x.A.shape[-1]
    groups = groups_of(routes, images, channels)
    du, ddelta = (empty(tuple(x.u.shape), x.u.dtype, x.layout, x.u) for _ in range(2))
    dz = None if x.z is None else empty(tuple(x.z.shape), x.z.dtype, x.layout, x.u)
    dB, dC = (x.B.new_empty((routes, images, steps, n)) for _ in range(2))
    dA = torch.empty_like(x.A)
    dD = None if x.D is None else torch.empty_like(x.D)
    dbias = None if x.delta_bias is None else torch.empty_like(x.delta_bias)

    sums = _Sums()
    scan = Scan(
        routes=routes,
        images=images,
        steps=steps,
        channels=channels,
        states=n,
        groups=groups,
        span=span_of(n) if x.layout == "bdl" else 1,
        softplus=int(x.delta_softplus),
        transposed=int(x.layout == "bdl"),
        merged=int(x.merge != "none"),
        direct=int(x.u.dtype == torch.float32 and x.layout == "bld" and x.paths is None),
        A=x.A.data_ptr(),
        D=_address(x.D),
        bias=_address(x.delta_bias),
        saved=states.data_ptr(),
        paths=_address(x.paths),
        a_parts=sums.parts(dA, images),
        b_parts=sums.parts(dB, groups),
        c_parts=sums.parts(dC, groups),
        d_parts=sums.parts(dD, images),
        bias_parts=sums.parts(dbias, images),
    )
    given = None if x.z is None else ungated
    of = ELEMENTS[x.u.dtype]
    table = np.array([_row(v) for v in (x.u, x.delta, dout, x.z, given, du, ddelta, dz, x.B, x.C)])
    reverse = np.array(x.reverse, np.int64)
    told = (scan, table.ctypes.data, reverse.ctypes.data, memory_of(scan), x.share, of)
    spread(scan_back, routes * images * groups, *told)
    if sums.rows:
        rows = np.array(sums.rows)
        spread(add_parts, sums.tasks, rows.ctypes.data, len(rows), of)
    return Gradients(du, ddelta, dA, dB, dC, dD, dz, dbias)


class _Sums:
    """Sums left to do after the tasks: rows of `add_parts`, the memory of the parts, how many tasks."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.kept: list[Tensor] = []
        self.tasks = 0

    def parts(self, to: Tensor | None, many: int) -> int:
        """The address for `many` float32 parts of a tensor: its own for a single one."""
        if to is None:
            return 0
        if many == 1 and to.dtype == torch.float32:
            return to.data_ptr()
        parts = to.new_empty((many, *to.shape), dtype=torch.float32)
        low = int(to.dtype != torch.float32)
        self.rows.append((parts.data_ptr(), many, to.numel(), to.data_ptr(), low, self.tasks))
        self.kept.append(parts)
        self.tasks += -(-to.numel() // RUN)
        return parts.data_ptr()


def _address(v: Tensor | None) -> int:
    return 0 if v is None else v.data_ptr()


def _row(v: Tensor | None) -> tuple[int, int, int, int, int]:
    """Address and strides along routes, images, steps and the last dimension; merged: none along routes."""
    if v is None:
        return (0, 0, 0, 0, 0)
    strides = v.stride()
    return (v.data_ptr(), *(strides if len(strides) == 4 else (0, *strides)))  # type: ignore[return-value]
