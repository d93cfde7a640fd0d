"""Stochastic depth."""

from __future__ import annotations

from torch import Tensor, nn


class DropPath(nn.Module):
    """In training, images dropped at random, the others scaled so that the mean stays (arXiv 1603.09382).

    Draws what timm.layers.DropPath draws, without its package: that brings all of timm's models, torchvision
    and the compiler with it.

    Args:
        drop_prob: probability for an image to become 0, less than 1.
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """x (B, ...) with every image either 0 or divided by 1 - drop_prob; x itself outside training."""
        if not self.training or self.drop_prob == 0:
            return x
        keep = 1 - self.drop_prob
        kept = x.new_empty(x.shape[0], *(1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * kept.div_(keep)

    def extra_repr(self) -> str:
        """The probability."""
        return f"drop_prob={self.drop_prob:.3g}"
