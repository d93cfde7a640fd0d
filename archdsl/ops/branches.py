"""Branches that all receive the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op, PartParameter, ShapeError
from archdsl.ops._memory import Alive, beside, size
from archdsl.ops._merges import Merge, merged, merged_flow, merging
from archdsl.tape import Flow, Part


class Branches(Op):
    """`branches(a, b, ..., merge)`: every branch receives the whole input, and the results are merged.

    Args:
        merge: `multiply`, `add`, `mean` or `concat`.
    """

    name: ClassVar[str] = "branches"
    source: ClassVar[str] = "Szegedy et al., arXiv 1409.4842, section 4"
    module: ClassVar[str] = "archdsl.nn.branches:Branches"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("parts", variadic=True),)

    merge: Merge

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The results merged."""
        if not parts:
            raise ShapeError("E301", "there are no branches", help="write `branches(a, b, ...)`")
        return merged([part(x) for part in parts], self.merge)

    def transparent(self, x: Feature, parts: int) -> bool:
        """With one branch there is nothing to merge."""
        return parts == 1

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """All results, and what is made of them."""
        inside, out = beside(parts), size(y)
        return Alive(max(inside.peak, inside.result + merging(len(parts), self.merge, out)), out)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Every branch, and the merge."""
        return merged_flow([part(s) for part in parts], self.merge)

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """All results are read, what is made of them is written."""
        return sum(part.tokens * part.dim for part in parts) + y.tokens * y.dim

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """How the results are merged."""
        return {"merge": self.merge}
