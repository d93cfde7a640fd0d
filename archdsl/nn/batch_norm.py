"""Batch normalisation of tokens."""

from __future__ import annotations

from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Tokens (B, T, C) to tokens (B, T, C), each channel normalised over B T tokens.

    Args:
        dim: C.
        eps: added to the variance.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__(dim, eps=eps, momentum=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """What torch.nn.BatchNorm2d makes of the same values laid out as a map."""
        y: Tensor = super().forward(x.flatten(0, 1))
        return y.reshape(x.shape)
