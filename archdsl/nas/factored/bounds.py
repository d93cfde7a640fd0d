"""Conditions on counts, decided for all counts between bounds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from archdsl.diagnostics import DiagnosticError
from archdsl.graph.variation import Sight
from archdsl.lang import tree as t
from archdsl.nas.conditions import Requirement, metrics_in

Box = tuple[int, int, int, int]
"""The least and the most parameters, then the same for multiply-accumulates."""
Exact = int | Fraction
Between = Callable[[Box], tuple[Exact, Exact]]
Decide = Callable[[Box], bool | None]
"""Whether a condition holds for all counts in a box (True), for none (False), or is open (None)."""


class _OpaqueError(Exception):
    """Raised for what is only known at single points."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted of an architecture; see `archdsl.nas.conditions.Counts`."""

    params: int
    macs: int


def decision(requirements: Sequence[Requirement]) -> Decide:
    """Decides whether all requirements are met. For single points always exact."""
    parts = [_of_line(requirement) for requirement in requirements]

    def decide(box: Box) -> bool | None:
        return _all(part(box) for part in parts)

    return decide


def _of_line(requirement: Requirement) -> Decide:
    try:
        return _condition(requirement.line.condition, requirement.sight)
    except _OpaqueError:
        return _by_point(requirement)


def _by_point(requirement: Requirement) -> Decide:
    def decide(box: Box) -> bool | None:
        if box[0] != box[1] or box[2] != box[3]:
            return None
        return requirement.excess(Counted(box[0], box[2])) is None

    return decide


def _all(found: Iterator[bool | None]) -> bool | None:
    open_ = False
    for one in found:
        if one is False:
            return False
        open_ = open_ or one is None
    return None if open_ else True


def _condition(expr: t.Expr, sight: Sight) -> Decide:
    match expr:
        case t.Parens(inner=inner):
            return _condition(inner, sight)
        case t.Not(operand=operand):
            return _negated(_condition(operand, sight))
        case t.Logic(operator=operator, left=left, right=right):
            a, b = _condition(left, sight), _condition(right, sight)
            if operator == "and":
                return lambda box: _all(part(box) for part in (a, b))
            return _negated(lambda box: _all(_negated(part)(box) for part in (a, b)))
        case t.Compare(operator=operator, left=left, right=right):
            return _comparison(operator, _number(left, sight), _number(right, sight))
    raise _OpaqueError


def _negated(decide: Decide) -> Decide:
    def negated(box: Box) -> bool | None:
        found = decide(box)
        return None if found is None else not found

    return negated


def _comparison(operator: str, left: Between, right: Between) -> Decide:
    if operator in (">", ">="):
        return _comparison({">": "<", ">=": "<="}[operator], right, left)
    if operator == "!=":
        return _negated(_comparison("==", left, right))

    def below(box: Box) -> bool | None:
        (a, b), (c, d) = left(box), right(box)
        return True if b < c else False if a >= d else None

    def at_most(box: Box) -> bool | None:
        (a, b), (c, d) = left(box), right(box)
        return True if b <= c else False if a > d else None

    def equal(box: Box) -> bool | None:
        (a, b), (c, d) = left(box), right(box)
        return True if a == b == c == d else False if b < c or d < a else None

    return {"<": below, "<=": at_most, "==": equal}[operator]


def _number(expr: t.Expr, sight: Sight) -> Between:
    if not any(True for _ in metrics_in(expr)):
        return _constant(expr, sight)
    match expr:
        case t.Name(id="params"):
            return lambda box: (box[0], box[1])
        case t.Name(id="macs"):
            return lambda box: (box[2], box[3])
        case t.Parens(inner=inner):
            return _number(inner, sight)
        case t.Unary(operand=operand):
            inside = _number(operand, sight)
            return lambda box: (-inside(box)[1], -inside(box)[0])
        case t.Binary(operator="+", left=left, right=right):
            return _sum(_number(left, sight), _number(right, sight), 1)
        case t.Binary(operator="-", left=left, right=right):
            return _sum(_number(left, sight), _number(right, sight), -1)
        case t.Binary(operator="*", left=left, right=right):
            return _product(_number(left, sight), _number(right, sight))
        case t.Binary(operator="/", left=left, right=right) if not any(True for _ in metrics_in(right)):
            divisor = _constant(right, sight)((0, 0, 0, 0))[0]
            if divisor:
                factor = Fraction(1) / divisor
                return _product(_number(left, sight), lambda _: (factor, factor))
    raise _OpaqueError


def _constant(expr: t.Expr, sight: Sight) -> Between:
    try:
        value = sight.value(expr)
    except DiagnosticError:
        raise _OpaqueError from None
    if not isinstance(value, Fraction):
        raise _OpaqueError
    number: Exact = int(value) if value.denominator == 1 else value
    return lambda _: (number, number)


def _sum(left: Between, right: Between, sign: int) -> Between:
    def between(box: Box) -> tuple[Exact, Exact]:
        (a, b), (c, d) = left(box), right(box)
        return (a + c, b + d) if sign > 0 else (a - d, b - c)

    return between


def _product(left: Between, right: Between) -> Between:
    def between(box: Box) -> tuple[Exact, Exact]:
        (a, b), (c, d) = left(box), right(box)
        corners = (a * c, a * d, b * c, b * d)
        return min(corners), max(corners)

    return between
