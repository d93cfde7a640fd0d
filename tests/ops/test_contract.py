"""Every operator keeps its contract; and the contract has teeth."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from archdsl import ops
from archdsl.features import Extra, Feature
from archdsl.ops import Count, Infer, Macs, Op, ShapeError
from archdsl.tape import Flow, Part, mul, parameter, scaled
from archdsl.testing import check_op


@pytest.mark.parametrize("name", sorted(ops.names()))
def test_contract(name: str) -> None:
    op = ops.find(name)
    assert op is not None
    check_op(op)


class Scaled(nn.Module):
    """y = weight * x, with a weight that nothing uses beside it."""

    def __init__(self, dim: int, unused: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        if unused:
            self.unused = nn.Parameter(torch.ones(unused))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Centred(Scaled):
    """Scaled, minus the mean of the batch: images see each other."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - x.mean(0, keepdim=True)


class Wide(Scaled):
    """Scaled, in float32 whatever comes in."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class Right(Op):
    """`scaled(groups)`: y = weight * x; `groups` divide the channels."""

    name: ClassVar[str] = "scaled"
    source: ClassVar[str] = "multiplication"
    module: ClassVar[str] = f"{__name__}:Scaled"

    groups: Count = 1

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        if x.dim % self.groups:
            raise ShapeError("E306", "the groups do not divide", parameter="groups", help="use a divisor")
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """C."""
        return x.dim

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The width."""
        return {"dim": x.dim}


class Miscounted(Right):
    """`scaled(groups)`."""

    def params(self, x: Feature, y: Feature) -> int:
        return x.dim + 1


class Misjudged(Right):
    """`scaled(groups)`."""

    def macs(self, x: Feature, y: Feature) -> Macs:
        return Macs(linear=x.tokens)


class Misshaped(Right):
    """`scaled(groups)`."""

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        return replace(x, extras=(*x.extras, Extra("registers", 1, "end")))


class Unused(Right):
    """`scaled(groups)`."""

    def params(self, x: Feature, y: Feature) -> int:
        return x.dim + 3

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        return {"dim": x.dim, "unused": 3}


class Crossed(Right):
    """`scaled(groups)`."""

    module: ClassVar[str] = f"{__name__}:Centred"


class Widened(Right):
    """`scaled(groups)`."""

    module: ClassVar[str] = f"{__name__}:Wide"


class Remembered(Right):
    """`scaled(groups)`."""

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        return s.with_x(mul(s.x, parameter(s.x, y.dim)))


class Forgotten(Right):
    """`scaled(groups)`."""

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        return s.with_x(scaled(s.x))


class Unexplained(Right):
    """`scaled`: y = weight * x."""


class Unhelpful(Right):
    """`scaled(groups)`."""

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        if x.dim % self.groups:
            raise ShapeError("E306", "the groups do not divide")
        return x


class Refusing(Right):
    """`scaled(groups)`."""

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        raise ShapeError("E304", "never", help="give up")


class Crashing(Right):
    """`scaled(groups)`."""

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        return x if x.dim // x.tokens % 2 else replace(x, dim=x.dim // 0)


def test_a_right_operator_passes() -> None:
    check_op(Right)
    check_op(Right, values={"groups": st.sampled_from([1, 2])}, examples=10)
    check_op(Remembered, examples=10)


@pytest.mark.parametrize("name", sorted(ops.names()))
def test_what_training_keeps_is_told_by_every_operator(name: str) -> None:
    op = ops.find(name)
    assert op is not None
    assert op.trace is not Op.trace


@pytest.mark.parametrize(
    ("op", "says"),
    [
        (Miscounted, "parameters, its module has"),
        (Misjudged, "multiply-accumulates, its module does 0"),
        (Misshaped, "declares tokens"),
        (Unused, "no gradient reaches unused"),
        (Crossed, "not close"),
        (Widened, "returns torch.float32 for bfloat16"),
        (Forgotten, "for the backward, `trace` tells"),
        (Unexplained, "does not explain groups"),
        (Unhelpful, "no next step"),
        (Refusing, "no input was accepted"),
    ],
)
def test_a_wrong_operator_is_caught(op: type[Op], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_op(op)


def test_a_shape_rule_raises_shape_errors_alone() -> None:
    with pytest.raises(ZeroDivisionError):
        check_op(Crashing)
