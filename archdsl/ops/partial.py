"""A network on some of the channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op, PartParameter, ShapeError
from archdsl.ops._memory import Alive, behind, size
from archdsl.ops._types import Width
from archdsl.ops._widths import with_dim
from archdsl.tape import Flow, Part, cat


class Partial(Op):
    """`partial(inner, channels)`: `inner` works on the last channels, the others pass it unchanged.

    Args:
        channels: how many it works on; a fraction is floored.
    """

    name: ClassVar[str] = "partial"
    source: ClassVar[str] = "MambaOut, arXiv 2405.07992, algorithm 1"
    module: ClassVar[str] = "archdsl.nn.partial:Partial"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("inner"),)
    sequence: ClassVar[bool] = True
    hollow: ClassVar[bool] = True

    channels: Width

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        (inner,) = parts
        if self.channels > x.dim:
            raise ShapeError(
                "E306",
                "there are not so many channels",
                label=f"{self.channels} of {x.dim}",
                parameter="channels",
                help=f"use at most {x.dim}",
            )
        inside = with_dim(x, self.channels)
        y = inner(inside)
        if y != inside:
            raise ShapeError(
                "E307",
                "a network on some of the channels changes the shape",
                label=f"receives {inside}, returns {y}",
                help="let it end at the width and size it starts with",
            )
        return x

    def transparent(self, x: Feature, parts: int) -> bool:
        """Over all channels."""
        return self.channels == x.dim

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """What works on some channels, then its result and the whole."""
        inside, out = behind(parts), size(y)
        if self.channels == x.dim:
            return inside
        return Alive(max(inside.peak, inside.result + out), out)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The parts on a view of some channels, and a copy of all."""
        rest = s.x.shape[2] - self.channels
        worked_on = s.with_x(s.x.narrow(2, self.channels)) if rest else s
        for part in parts:
            worked_on = part(worked_on)
        return s.with_x(cat([s.x.narrow(2, rest), worked_on.x], 2)) if rest else worked_on

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """The channels are put together again."""
        return 0 if self.channels == x.dim else 2 * y.tokens * y.dim

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """How many channels."""
        return {"channels": self.channels}
