"""The selective scan in Triton: for CUDA devices, and for tests on the CPU under TRITON_INTERPRET=1.

Triton is imported by `load`.
"""

from __future__ import annotations

from archdsl.kernels.launch import available, refusal
from archdsl.kernels.selective_scan.inputs import Call, Kernel

__all__ = ["available", "load", "supports"]

MOST_STATES = 512
"""Of one channel, which one warp holds: 16 in each thread."""


def supports(call: Call) -> str | None:
    """Why a scan is not served, None where it is."""
    if call.state > MOST_STATES:
        return f"{call.state} states are more than {MOST_STATES}"
    return refusal(call.device, call.dtype, call.routes)


def load() -> Kernel:
    """Forward and backward."""
    from archdsl.kernels.selective_scan.triton.backward import backward
    from archdsl.kernels.selective_scan.triton.forward import forward

    return Kernel(forward, backward)
