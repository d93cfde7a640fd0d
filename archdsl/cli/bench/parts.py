"""What each part of a forward scan takes: the same scan with parts of it left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from archdsl.cli.bench.problems import Problem
from archdsl.kernels import selective_scan

ALL = "all of it"
LEFT_OUT: dict[str, tuple[bool, bool]] = {
    ALL: (False, False),
    "without the gate": (True, False),
    "without softplus": (False, True),
    "without both": (True, True),
}
"""Whether the gate, and the softplus, is left out."""
WHAT = "forward, float32, channels last, by the kernel that serves; step sizes are positive without softplus"


def ways(x: Problem, backend: str = "auto") -> dict[str, Callable[[], tuple[Tensor, ...]]]:
    """A forward pass for each name of `LEFT_OUT`."""
    steps = F.softplus(x.delta + x.delta_bias)
    return {name: partial(_scanned, x, steps, backend, *out) for name, out in LEFT_OUT.items()}


@torch.no_grad()
def _scanned(x: Problem, steps: Tensor, backend: str, no_gate: bool, no_softplus: bool) -> tuple[Tensor, ...]:
    u, delta, A, B, C, D, z, bias = x.arguments
    gate = None if no_gate else z
    if no_softplus:
        return (selective_scan(u, steps, A, B, C, D, gate, backend=backend),)
    return (selective_scan(u, delta, A, B, C, D, gate, bias, True, backend=backend),)
