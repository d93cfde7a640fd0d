"""The selective scan on the CPU: compiled by Numba at the first call, in vectors of 16 channels.

Numba is imported with `forward` and `backward`, not before.
"""

from __future__ import annotations

import torch

from archdsl.kernels import jit
from archdsl.kernels.selective_scan.inputs import Call, Kernel

TYPES = (torch.float32, torch.bfloat16, torch.float16)


def available() -> str | None:
    """Why Numba can't compile here, None where it can."""
    return jit.missing()


def supports(call: Call) -> str | None:
    """Why a scan is not served, None where it is."""
    if call.device != "cpu":
        return f"numba does not run on {call.device} here"
    if call.dtype not in TYPES:
        return f"it does not compute in {call.dtype}"
    return None


def load() -> Kernel:
    """The two functions; imports Numba."""
    from archdsl.kernels.selective_scan.numba.backward import backward
    from archdsl.kernels.selective_scan.numba.forward import forward

    return Kernel(forward, backward)
