"""A branch added to its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op, PartParameter, ShapeError
from archdsl.ops._memory import Alive, behind, size
from archdsl.tape import Flow, Part, add


class Residual(Op):
    """`residual(inner)`: x + inner(x). `inner` keeps the shape."""

    name: ClassVar[str] = "residual"
    source: ClassVar[str] = "He et al., arXiv 1512.03385, eq. 1"
    module: ClassVar[str] = "archdsl.nn.residual:Residual"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("inner"),)
    sequence: ClassVar[bool] = True

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        (inner,) = parts
        y = inner(x)
        if y != x:
            raise ShapeError(
                "E307",
                "a residual branch changes the shape",
                label=f"receives {x}, returns {y}",
                help="let the branch end at the width and size it starts with",
            )
        return x

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """The branch, then its result and the sum."""
        inside, out = behind(parts), size(y)
        return Alive(max(inside.peak, inside.result + out), out)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The sum keeps nothing."""
        branch = s
        for part in parts:
            branch = part(branch)
        return s.with_x(add(s.x, branch.x))

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """Both addends are read, the sum is written."""
        return 3 * x.tokens * x.dim
