"""The depthwise convolution on the CPU: compiled by Numba, with explicit vectors of 16 channels."""

from __future__ import annotations

from archdsl.kernels.conv1d.inputs import Call

TYPES = ("torch.float32", "torch.bfloat16", "torch.float16")


def supports(call: Call) -> str | None:
    """Why it does not serve a call, None where it does."""
    if call.device != "cpu":
        return "it is for the CPU"
    return None if str(call.dtype) in TYPES else f"it has no kernel for {call.dtype}"
