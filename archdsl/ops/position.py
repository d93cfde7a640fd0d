"""Position embeddings."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._places import need_tokens
from archdsl.ops._types import word
from archdsl.tape import Flow, Part, add, parameter


class Position(Op):
    """`position(kind)`: a learned vector added to every token there is so far, extra tokens included.

    One vector for each place of the sequence. Where an image of another size comes, those of the patches are
    interpolated bicubically (corners not aligned, no antialiasing) and those of the extra tokens kept.

    Args:
        kind: `learned`.
    """

    name: ClassVar[str] = "position"
    source: ClassVar[str] = "Dosovitskiy et al., arXiv 2010.11929, eq. 1 and section 3.2"
    module: ClassVar[str] = "archdsl.nn.position:Position"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "kept"

    kind: Annotated[Literal["learned"], BeforeValidator(word)]

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        need_tokens(x, "a position embedding")
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """tokens * C."""
        return x.tokens * x.dim

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The sum keeps nothing."""
        return s.with_x(add(s.x, parameter(s.x, 1, *s.x.shape[1:])))

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width and places."""
        return {"dim": x.dim, "grid": x.grid, "extras": x.extras}
