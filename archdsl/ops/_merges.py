"""How the results of several branches become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Annotated, Literal

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import ShapeError
from archdsl.ops._types import word
from archdsl.ops._widths import resolve_width
from archdsl.tape import Flow, add, cat, mul, scaled

Merge = Annotated[Literal["multiply", "add", "mean", "concat"], BeforeValidator(word)]
"""Element by element for the first three; `concat`: the channels of the first branch first."""


def merged(branches: Sequence[Feature], merge: str) -> Feature:
    """The shape of the merged results.

    Raises:
        ShapeError: E301 where they do not agree, E310 where there are too many channels.
    """
    first = branches[0]
    for number, other in enumerate(branches[1:], 2):
        if replace(other, dim=first.dim) != first or (merge != "concat" and other.dim != first.dim):
            raise ShapeError(
                "E301",
                "the branches do not fit together",
                label=f"branch 1 returns {first}, branch {number} returns {other}",
                parameter="merge",
                help=f"let them end at the same {'size' if merge == 'concat' else 'shape'}",
            )
    if merge != "concat":
        return first
    return replace(first, dim=resolve_width(sum(b.dim for b in branches), first, "merge"))


def merging(branches: int, merge: str, out: int) -> int:
    """Bytes made of several results, of `out` bytes: one result beside the next while there are more."""
    passes = 1 if merge == "concat" else branches - (merge != "mean")
    return min(passes, 2) * out


def merged_flow(branches: Sequence[Flow], merge: str) -> Flow:
    """The merged results without numbers; a product keeps what it multiplies."""
    first = branches[0]
    results = [branch.x for branch in branches]
    if merge == "concat":
        return first.with_x(cat(results, 2))
    total = reduce(mul if merge == "multiply" else add, results)
    return first.with_x(scaled(total) if merge == "mean" else total)
