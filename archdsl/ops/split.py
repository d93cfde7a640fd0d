"""Channels divided among branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op, PartParameter, ShapeError
from archdsl.ops._memory import Alive, beside, size
from archdsl.ops._merges import Merge, merged, merged_flow, merging
from archdsl.ops._places import need_division
from archdsl.ops._widths import with_dim
from archdsl.tape import Flow, Part


class Split(Op):
    """`split(a, b, ..., merge)`: the channels in equal parts, one for each branch, and the results merged.

    Args:
        merge: `multiply`, `add`, `mean` or `concat`.
    """

    name: ClassVar[str] = "split"
    source: ClassVar[str] = "torch.chunk; gates: Dauphin et al., arXiv 1612.08083, eq. 1"
    module: ClassVar[str] = "archdsl.nn.split:Split"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("parts", variadic=True),)

    merge: Merge

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The results merged."""
        if not parts:
            raise ShapeError("E306", "there are no branches", help="write `split(a, b, ...)`")
        each = need_division(x.dim, len(parts), "the channels cannot be divided among the branches")
        return merged([part(with_dim(x, each)) for part in parts], self.merge)

    def transparent(self, x: Feature, parts: int) -> bool:
        """With one branch there is nothing to merge."""
        return parts == 1

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """All results, and what is made of them; the shares are views of the input."""
        inside, out = beside(parts), size(y)
        return Alive(max(inside.peak, inside.result + merging(len(parts), self.merge, out)), out)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Every branch on a view of its channels, and the merge."""
        share = s.with_x(s.x.narrow(2, s.x.shape[2] // len(parts)))
        return merged_flow([part(share) for part in parts], self.merge)

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """All results are read, what is made of them is written."""
        return sum(part.tokens * part.dim for part in parts) + y.tokens * y.dim

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """How the results are merged."""
        return {"merge": self.merge}
