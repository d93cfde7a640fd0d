"""Register tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator

from archdsl.features import Extra, Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._memory import apart
from archdsl.ops._places import need_no_extra, need_tokens, with_tokens
from archdsl.ops._types import Natural, word
from archdsl.tape import Flow, Part


class Registers(Op):
    """`registers(n, at, position)`: n learned tokens that are no patches, put into the sequence.

    Args:
        n: how many; 0 for none.
        at: where they stand among the patches: at the `start`, in the `middle`, at the `end`, or `even`: each
            behind one of the first n groups of floor(N / (n + 1)) of the N patches.
        position: `learned` for a position embedding of their own, added to them.
    """

    name: ClassVar[str] = "registers"
    source: ClassVar[str] = "Darcet et al., arXiv 2309.16588; spread evenly: Mamba-R, arXiv 2405.14858"
    module: ClassVar[str] = "archdsl.nn.registers:Registers"

    n: Natural
    at: Annotated[Literal["start", "middle", "end", "even"], BeforeValidator(word)] = "even"
    position: Annotated[Literal["learned"] | None, BeforeValidator(word)] = None

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input with n more tokens."""
        need_tokens(x, "a set of registers")
        need_no_extra(x, "registers")
        if self.n == 0:
            return x
        return replace(x, extras=(*x.extras, Extra("registers", self.n, self.at)))

    def canonical(self, x: Feature) -> Self:
        """One token alone is behind half of the patches, spread evenly or put in the middle."""
        return self.model_copy(update={"at": "middle"}) if (self.n, self.at) == (1, "even") else self

    def params(self, x: Feature, y: Feature) -> int:
        """n C, twice that with positions."""
        return self.n * x.dim * (1 if self.position is None else 2)

    def workspace(self, x: Feature, y: Feature) -> int:
        """The tokens there were, taken apart."""
        return apart(x)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The sequence copied."""
        return with_tokens(s, y.extras[-1]) if self.n else s

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width, number, places and position embedding."""
        return {"dim": x.dim, "n": self.n, "at": self.at, "position": self.position}

    def vanishes(self, x: Feature) -> bool:
        """Where there are none."""
        return self.n == 0
