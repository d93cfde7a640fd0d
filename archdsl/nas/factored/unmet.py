"""Diagnostics for requirements that no architecture of a space meets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from archdsl.diagnostics import Diagnostic, Severity, Span
from archdsl.lang import tree as t
from archdsl.lang.to_text import to_text
from archdsl.nas.conditions import Requirement, metrics_in
from archdsl.nas.factored.bounds import Counted
from archdsl.nas.factored.share import costs
from archdsl.nas.factored.space import FactoredSpace

QUICK = 200
"""Architectures that are drawn to see whether any meets what is required."""


STEP = "ask for less, or vary the architecture so that some points meet it"


def unmet(space: FactoredSpace) -> Iterator[Diagnostic]:
    """E410 where no architecture meets what is required, E408 where that is not known."""
    if not space.requirements or space.architectures is None:
        return
    random = Random(0)
    draw = space.architectures.draw
    if any(space.meets(draw(random)) for _ in range(QUICK)):
        return
    share = space.share
    if share is None or share.low:
        return
    parts = [part for requirement in space.requirements for part in _parts(requirement)]
    parts = [part for requirement in space.requirements for part in _parts(requirement)]
    if share.high:
        label = f"none of {QUICK} architectures drawn at random does"
        span = parts[-1].line.condition.span
        yield Diagnostic("E408", "this may never be met", span, label, (), STEP, Severity.WARNING)
        return
    alone = [part for part in parts if not space.share_of([part]).high]
    for part in alone:
        yield _none(part.line.condition.span, _bound(space, part))
    if not alone:
        yield _together(space, parts)


def _together(space: FactoredSpace, parts: Sequence[Requirement]) -> Diagnostic:
    """For comparisons that can be met one by one: the first that makes it too much."""
    number = next(n for n in range(1, len(parts) + 1) if not space.share_of(parts[:n]).high)
    last, before = parts[number - 1], parts[: number - 1]
    against = [part for part in before if not space.share_of([part, last]).high][:1] or before
    others = " and ".join(f"`{to_text(part.line.condition)}`" for part in against)
    label = f"no architecture meets this together with {others}"
    nearest = _nearest(space, [*against, last])
    return _none(last.line.condition.span, label, () if nearest is None else (nearest,))


def _none(span: Span, label: str, notes: tuple[str, ...] = ()) -> Diagnostic:
    return Diagnostic("E410", "no point of the space is valid", span, label, notes, STEP)


def _bound(space: FactoredSpace, part: Requirement) -> str:
    """What the architecture has that comes nearest to one comparison."""
    condition, ranges = part.line.condition, space.ranges
    if isinstance(condition, t.Compare) and ranges is not None:
        for name, smaller, other in (
            (condition.left, condition.operator in ("<", "<="), condition.right),
            (condition.right, condition.operator in (">", ">="), condition.left),
        ):
            ordered = condition.operator in ("<", "<=", ">", ">=")
            if isinstance(name, t.Name) and ordered and [*metrics_in(name)] and not [*metrics_in(other)]:
                of = ranges.params if name.id == "params" else ranges.macs
                which, count = ("smallest", of.low) if smaller else ("largest", of.high)
                return f"the {which} has {name.id} = {count:,}"
    return _nearest(space, [part]) or f"none of {space.distinct:,} architectures does"


def _nearest(space: FactoredSpace, parts: Sequence[Requirement]) -> str | None:
    """The costs that come nearest to some comparisons; None where there are too many to look at."""
    known = None if space.architectures is None else costs(space.architectures)
    if not known:
        return None
    counted = [Counted(params, macs) for params, macs in known]
    best = min(counted, key=lambda c: max(part.excess(c) or 0.0 for part in parts))
    found = dict.fromkeys(part.found(best) for part in parts)
    return f"the nearest has {', '.join(found)}"


def _parts(requirement: Requirement) -> list[Requirement]:
    """The comparisons that all have to hold."""
    line = requirement.line
    return [
        replace(requirement, line=replace(line, condition=condition)) for condition in _joined(line.condition)
    ]


def _joined(expr: t.Expr) -> list[t.Expr]:
    match expr:
        case t.Parens(inner=inner):
            return _joined(inner)
        case t.Logic(operator="and", left=left, right=right):
            return [*_joined(left), *_joined(right)]
    return [expr]
