"""The sigmoid linear unit, also called Swish."""

from __future__ import annotations

from typing import ClassVar, Literal

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.tape import Flow, Part, unary


class Silu(Op):
    """`silu`: y = x * sigmoid(x)."""

    name: ClassVar[str] = "silu"
    source: ClassVar[str] = "torch.nn.SiLU; Hendrycks and Gimpel, arXiv 1606.08415, section 2"
    module: ClassVar[str] = "torch.nn:SiLU"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "kept"

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Keeps what goes in."""
        return s.with_x(unary(s.x))

    def exponentials(self, x: Feature, y: Feature) -> int:
        """One for each number."""
        return x.tokens * x.dim
