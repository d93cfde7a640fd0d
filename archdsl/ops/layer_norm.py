"""Layer normalisation."""

from __future__ import annotations

from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._types import Flag, Positive
from archdsl.tape import Flow, Part, layer_norm


class LayerNorm(Op):
    """`layer_norm(eps, affine)`: each token (C) is brought to mean 0 and variance 1, then scaled and shifted.

    y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias, with the variance over C channels, not C - 1.

    Args:
        eps: added to the variance.
        affine: whether every channel has a weight and a bias; `off` leaves them out.
    """

    name: ClassVar[str] = "layer_norm"
    source: ClassVar[str] = "torch.nn.LayerNorm; Ba et al., arXiv 1607.06450, eq. 4"
    module: ClassVar[str] = "torch.nn:LayerNorm"
    ambient: ClassVar[frozenset[str]] = frozenset({"eps"})

    eps: Positive = 1e-5
    affine: Flag = True

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """2 C, none without `affine`."""
        return 2 * x.dim if self.affine else 0

    def norms(self, x: Feature, y: Feature) -> int:
        """5 tokens * C."""
        return 5 * x.tokens * x.dim

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The norm of every token."""
        return s.with_x(layer_norm(s.x))

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """As torch.nn.LayerNorm names them."""
        return {"normalized_shape": x.dim, "eps": self.eps, "elementwise_affine": self.affine}
