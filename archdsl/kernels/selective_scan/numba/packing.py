"""The inputs of a scan as one array of integers: addresses, strides in elements and sizes.

Numba takes one array from Python in a microsecond; a tensor each would take longer than a short scan.
Whoever calls a kernel with the array keeps the tensors alive.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from archdsl.kernels.selective_scan.inputs import Inputs

# Places in the array. A sequence takes five: its address and its strides along routes, images, steps and
# channels; what has states in place of channels leaves out the last. The address 0 is of what is not there.
ROUTES, IMAGES, STEPS, CHANNELS, STATES = range(5)
SOFTPLUS, STEPS_LAST, MERGED = range(5, 8)
U, DELTA, Z, UNGATED, Y = range(8, 33, 5)
SEQUENCE, VECTORS = 5, 4
"""From one to the next of them."""
B, C = range(33, 41, 4)
A, D, BIAS, PATHS, SAVED = range(41, 46)
MORE = 46
"""From here on: whether each route is read from its end, then what the caller adds."""
OF_ROUTE, OF_IMAGE, OF_STEP, OF_CHANNEL = range(1, 5)

MARKS = {
    torch.float32: np.empty(0, np.float32),
    torch.bfloat16: np.empty(0, np.uint16),
    torch.float16: np.empty(0, np.int16),
}
"""What tells a kernel the type of the sequences, see `archdsl.kernels.simd`."""

Integers = npt.NDArray[np.int64]


def packed(x: Inputs, y: Tensor, states: Tensor, ungated: Tensor, *more: int) -> Integers:
    """All of a scan; `y` (and `ungated`, in the same memory order) with or without a route dimension."""
    routes, batch, length, channels = x.u.shape
    merged = x.merge != "none"
    absent = (0, 0, 0, 0, 0)
    return np.array(
        (
            *(routes, batch, length, channels, x.A.shape[2]),
            *(x.delta_softplus, x.layout == "bdl", merged),
            *(x.u.data_ptr(), *x.u.stride()),
            *(x.delta.data_ptr(), *x.delta.stride()),
            *(absent if x.z is None else sequence(x.z)),
            *(sequence(ungated) if ungated.numel() else absent),
            *sequence(y),
            *(x.B.data_ptr(), *x.B.stride()[:3]),
            *(x.C.data_ptr(), *x.C.stride()[:3]),
            x.A.data_ptr(),
            *(0 if v is None else v.data_ptr() for v in (x.D, x.delta_bias, x.paths)),
            states.data_ptr() if states.numel() else 0,
            *x.reverse,
            *more,
        ),
        dtype=np.int64,
    )


def sequence(v: Tensor) -> tuple[int, ...]:
    """The five integers of a sequence; without a route dimension all routes share it."""
    return (v.data_ptr(), *((0, *v.stride()) if v.ndim == 3 else v.stride()))
