"""One vector for all patches."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._memory import apart
from archdsl.ops._types import word
from archdsl.tape import Flow, Part, amax, reduced


class Pool(Op):
    """`pool(kind)`: mean or maximum of each channel over the patches; extra tokens are left behind.

    Of a list of tokens all are pooled; a vector stays as it is.

    Args:
        kind: `mean` or `max`.
    """

    name: ClassVar[str] = "pool"
    source: ClassVar[str] = "torch.nn.AdaptiveAvgPool2d(1), torch.nn.AdaptiveMaxPool2d(1)"
    module: ClassVar[str] = "archdsl.nn.pool:Pool"

    kind: Annotated[Literal["mean", "max"], BeforeValidator(word)]

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """A vector as wide as the input."""
        return Feature(x.dim, (), (), x.windows)

    def canonical(self, x: Feature) -> Self:
        """The mean of one patch is its maximum."""
        return self.model_copy(update={"kind": "mean"}) if x.patches == 1 else self

    def transparent(self, x: Feature, parts: int) -> bool:
        """Of a vector."""
        return not x.grid

    def workspace(self, x: Feature, y: Feature) -> int:
        """Patches that stand between extra tokens."""
        return apart(x)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """A mean keeps nothing, a maximum what it is taken of and itself."""
        patches, _ = s.take_apart()
        return Flow(amax(patches, 1) if self.kind == "max" else reduced(patches, 1), ())

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The kind."""
        return {"kind": self.kind}
