"""The selective scan in Triton: for CUDA devices, and for tests on the CPU under TRITON_INTERPRET=1.

Triton is imported at the first call.
"""

from __future__ import annotations

import importlib.util
import os

import torch

from archdsl.kernels.selective_scan.inputs import Call

MOST_STATES = 1024
MOST_ROUTES = 62
"""Directions of routes travel as bits of one number."""
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def interpreted() -> bool:
    """Whether Triton runs its kernels in Python, on tensors of the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def available() -> str | None:
    """Why Triton can't run here, None where it can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if not interpreted() and not torch.cuda.is_available():
        return "there is no CUDA device"
    return None


def supports(call: Call) -> str | None:
    """Why a scan is not served, None where it is."""
    if call.device != ("cpu" if interpreted() else "cuda"):
        return f"triton does not run on {call.device} here"
    if call.dtype not in TYPES:
        return f"it does not compute in {call.dtype}"
    if call.state > MOST_STATES:
        return f"{call.state} states are more than {MOST_STATES}"
    if call.routes > MOST_ROUTES:
        return f"{call.routes} routes are more than {MOST_ROUTES}"
    return None
