"""Root mean square normalisation."""

from __future__ import annotations

from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._memory import size
from archdsl.ops._types import Positive
from archdsl.tape import Flow, Part, rms_norm


class RmsNorm(Op):
    """`rms_norm(eps)`: y = x / sqrt(mean(x^2) + eps) * weight for each token (C), at least in float32.

    Args:
        eps: added to the mean square.
    """

    name: ClassVar[str] = "rms_norm"
    source: ClassVar[str] = "Zhang and Sennrich, arXiv 1910.07467, eq. 4; torch.nn.RMSNorm"
    module: ClassVar[str] = "archdsl.nn.rms_norm:RmsNorm"
    ambient: ClassVar[frozenset[str]] = frozenset({"eps"})

    eps: Positive = 1e-5

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """C."""
        return x.dim

    def workspace(self, x: Feature, y: Feature) -> int:
        """The squares, then the result before the weights."""
        return size(x)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The norm of every token."""
        return s.with_x(rms_norm(s.x))

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width and eps."""
        return {"dim": x.dim, "eps": self.eps}
