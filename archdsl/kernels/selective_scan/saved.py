"""States that a forward saved, or only seems to have saved.

A kernel whose own backward wants no states has nothing to save, but what the operator returns has its shape.
Its backward may then be another kernel's: the environment variable that names kernels can change in between.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.selective_scan.inputs import Inputs, Kernel, saved_states_shape


class _Kind(NamedTuple):
    """Scans that the same kernels serve, whatever their number of images and steps."""

    device: torch.device
    dtype: torch.dtype
    sizes: tuple[int, ...]
    paths: bool
    merge: str
    layout: str


_without: set[_Kind] = set()
"""Those that were answered without states in this process: only theirs have to be looked at."""


def no_states(x: Inputs) -> Tensor:
    """What a kernel returns as `Outputs.states` that has none: not-a-numbers."""
    _without.add(_kind(x))
    return x.A.new_full(saved_states_shape(x.u, x.A), float("nan"))


def given_or_found(kernel: Kernel, x: Inputs, states: Tensor, ungated: Tensor) -> tuple[Tensor, Tensor]:
    """What the kernel's backward needs: states and result before the gate, computed where they aren't there.

    Where such a scan was answered without states before, this waits for the device.
    """
    if kernel.saves and (states.numel() == 0 or _left_out(x, states)):
        return kernel.forward(x, True)[1:]
    return states, ungated


def _left_out(x: Inputs, states: Tensor) -> bool:
    # Every sequence begins in a state of zeros, so a number that is none there tells.
    return _kind(x) in _without and bool(states[0, 0, 0, 0, 0].isnan())


def _kind(x: Inputs) -> _Kind:
    sizes = (x.u.shape[0], *x.A.shape[1:])
    return _Kind(x.u.device, x.u.dtype, sizes, x.paths is not None, x.merge, x.layout)
