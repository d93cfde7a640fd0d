"""What a selective scan is given, and what is known of it before it runs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Inputs(NamedTuple):
    """The arguments of one scan: b images, l steps, d channels, n states for each channel.

    Args:
        u: (b, l, d) the sequence.
        delta: (b, l, d) step sizes, before bias and softplus.
        A: (d, n) decay rates, negative in a stable scan.
        B, C: (b, l, n) input and output vectors, common to all channels.
        D: (d) weight of the input in the output.
        z: (b, l, d) gate: the output is multiplied by silu(z).
        delta_bias: (d) added to delta.
        delta_softplus: whether delta goes through softplus, after the bias.
        reverse: whether the sequence is read from its end.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool
    reverse: bool

    @property
    def state_dtype(self) -> torch.dtype:
        """The type everything is computed in: float64 for float64 sequences, else float32."""
        return torch.float64 if self.u.dtype == torch.float64 else torch.float32


class Gradients(NamedTuple):
    """Gradients in the order of `Inputs`, in the types of the inputs; None where an input was None."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None


class Call(NamedTuple):
    """What a kernel needs to know to tell whether it serves a scan.

    Args:
        device: type of the device (`cpu`, `cuda`).
        dtype: of the sequence.
        batch, length, channels, state: b, l, d, n of `Inputs`.
    """

    device: str
    dtype: torch.dtype
    batch: int
    length: int
    channels: int
    state: int
