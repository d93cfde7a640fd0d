"""The depthwise convolution in Triton: for CUDA devices, and for tests on the CPU under TRITON_INTERPRET=1.

Triton is imported by `load`.
"""

from __future__ import annotations

from archdsl.kernels.conv1d.inputs import Call, Kernel
from archdsl.kernels.launch import available, refusal

__all__ = ["available", "load", "supports"]

MOST_TAPS = 32
"""So many are tested; the loop over them is unrolled up to 8, in fours beyond."""


def supports(call: Call) -> str | None:
    """Why a convolution is not served, None where it is."""
    if call.taps > MOST_TAPS:
        return f"{call.taps} taps are more than {MOST_TAPS}"
    return refusal(call.device, call.dtype, call.routes)


def load() -> Kernel:
    """Forward and backward."""
    from archdsl.kernels.conv1d.triton.launches import backward, forward

    return Kernel(forward, backward)
