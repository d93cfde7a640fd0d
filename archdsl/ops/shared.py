"""One set of weights for all routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op, PartParameter
from archdsl.ops._memory import Alive, behind
from archdsl.tape import Flow, Part


class Shared(Op):
    """`shared(inner)`: inside `routed`, the same weights for every route."""

    name: ClassVar[str] = "shared"
    source: ClassVar[str] = "Vim, arXiv 2401.09417, section 4.3: one convolution before both scans"
    module: ClassVar[str] = "archdsl.nn.chain:Chain"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("inner"),)
    sequence: ClassVar[bool] = True

    def transparent(self, x: Feature, parts: int) -> bool:
        """Asked where nobody shares the weights."""
        return True

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """What `inner` returns."""
        (inner,) = parts
        return inner(x)

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """One result at a time."""
        return behind(parts)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Every part behind the one before it."""
        for part in parts:
            s = part(s)
        return s

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """Nothing."""
        return 0
