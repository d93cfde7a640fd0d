"""Operators one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op, PartParameter
from archdsl.ops._memory import Alive, behind
from archdsl.tape import Flow, Part


class Chain(Op):
    """`a -> b -> c`: each part receives what the one before it returns.

    It is what a pipeline of the language becomes; nobody writes its name.
    """

    name: ClassVar[str] = "chain"
    source: ClassVar[str] = "function composition"
    module: ClassVar[str] = "archdsl.nn.chain:Chain"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("parts", variadic=True),)
    sequence: ClassVar[bool] = True

    def transparent(self, x: Feature, parts: int) -> bool:
        """Always."""
        return True

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The last part's output."""
        for part in parts:
            x = part(x)
        return x

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
