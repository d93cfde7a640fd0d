"""The arguments of a convolution as one array of integers, and the rows that steps stand in.

Rows are found through a table of their addresses in the order of reading, which is the same for both
directions and along paths; outside the sequence it points to a row of zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from archdsl.kernels import simd
from archdsl.kernels.conv1d.inputs import Inputs
from archdsl.kernels.simd import routine

# Places in the array. A sequence takes four: its address and its strides along routes, images and steps.
ROUTES, IMAGES, STEPS, CHANNELS, TAPS, BEFORE, SILU = range(7)
WEIGHT, BIAS, PATHS = range(7, 10)
X, Y, DX = range(10, 22, 4)
MORE = 22
"""From here on: whether each route is read from its end, then what the caller adds."""
ADDRESS, OF_ROUTE, OF_IMAGE, OF_STEP = range(4)

MARKS = {
    torch.float32: np.empty(0, np.float32),
    torch.bfloat16: np.empty(0, np.uint16),
    torch.float16: np.empty(0, np.int16),
}
"""What tells a kernel the type of the sequences, see `archdsl.kernels.simd`."""

Integers = npt.NDArray[np.int64]


def packed(
    x: Inputs, weight: Tensor, bias: Tensor | None, y: Tensor, dx: Tensor | None = None, *more: int
) -> Integers:
    """All of a convolution.

    Args:
        x: the inputs; `weight` and `bias` are given apart.
        weight: (r, k, d) float32, contiguous.
        bias: (r, d) float32, contiguous.
        y: (r, b, l, d), the result, or its gradient.
        dx: the gradient of x.
        more: what the caller adds, behind `reverse`.
    """
    routes, taps, channels = weight.shape
    batch, length = x.x.shape[-3:-1]
    return np.array(
        (
            *(routes, batch, length, channels, taps, taps - 1 - x.behind, x.silu),
            weight.data_ptr(),
            *(0 if v is None else v.data_ptr() for v in (bias, x.paths)),
            *_sequence(x.x),
            *_sequence(y),
            *((0, 0, 0, 0) if dx is None else _sequence(dx)),
            *x.reverse,
            *more,
        ),
        np.int64,
    )


def _sequence(v: Tensor) -> tuple[int, ...]:
    """Address and strides; routes stand still in a sequence that they have in common."""
    return (v.data_ptr(), *v.stride()[:3]) if v.ndim == 4 else (v.data_ptr(), 0, *v.stride()[:2])


@routine
def row_of(p: Integers, route: int, step: int) -> int:
    """The row that a route reads at a step of its own order."""
    at = p[STEPS] - 1 - step if p[MORE + route] != 0 else step
    return at if p[PATHS] == 0 else simd.get_int(p[PATHS], route * p[STEPS] + at)


@routine
def place_rows(
    to: int, p: Integers, which: int, route: int, image: int, first: int, count: int, zeros: int, of: Any
) -> None:
    """The addresses of the rows of steps `first` to `first + count` of a sequence, to a table at `to`."""
    size = of.size
    start = p[which + ADDRESS] + size * (route * p[which + OF_ROUTE] + image * p[which + OF_IMAGE])
    stride = size * p[which + OF_STEP]
    for i in range(count):
        step = first + i
        inside = step >= 0 and step < p[STEPS]
        simd.put_int(to, i, start + stride * row_of(p, route, step) if inside else zeros)
