"""The sigmoid linear unit, also called Swish."""

from __future__ import annotations

from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op


class Silu(Op):
    """`silu`: y = x * sigmoid(x)."""

    name: ClassVar[str] = "silu"
    source: ClassVar[str] = "torch.nn.SiLU; Hendrycks and Gimpel, arXiv 1606.08415, section 2"
    module: ClassVar[str] = "torch.nn:SiLU"
    channels_anywhere: ClassVar[bool] = True

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x
