"""Class tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from archdsl.features import Extra, Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._memory import apart
from archdsl.ops._places import need_no_extra, need_tokens, with_tokens
from archdsl.ops._types import word
from archdsl.tape import Flow, Part


class ClassToken(Op):
    """`class_token(at, position)`: a learned token that is no patch, put into the sequence.

    Args:
        at: where it stands among the N patches: at the `start`, in the `middle` behind floor(N / 2) of them,
            at the `end`; `both` for two, one at each end.
        position: `learned` for a position embedding of its own, added to it.
    """

    name: ClassVar[str] = "class_token"
    source: ClassVar[str] = (
        "Dosovitskiy et al., arXiv 2010.11929, eq. 1; in the middle: Vim, arXiv 2401.09417"
    )
    module: ClassVar[str] = "archdsl.nn.class_token:ClassToken"

    at: Annotated[Literal["start", "middle", "end", "both"], BeforeValidator(word)] = "start"
    position: Annotated[Literal["learned"] | None, BeforeValidator(word)] = None

    @property
    def count(self) -> int:
        """1, or 2 at both ends."""
        return 2 if self.at == "both" else 1

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input with one more token, or two."""
        need_tokens(x, "a class token")
        need_no_extra(x, "class_token")
        return replace(x, extras=(*x.extras, Extra("class_token", self.count, self.at)))

    def params(self, x: Feature, y: Feature) -> int:
        """C for each token, twice that with positions."""
        return self.count * x.dim * (1 if self.position is None else 2)

    def workspace(self, x: Feature, y: Feature) -> int:
        """The tokens there were, taken apart."""
        return apart(x)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The sequence copied."""
        return with_tokens(s, y.extras[-1])

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width, place and position embedding."""
        return {"dim": x.dim, "at": self.at, "position": self.position}
