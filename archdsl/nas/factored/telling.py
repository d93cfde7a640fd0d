"""Diagnostics for points that do not compile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from archdsl.diagnostics import Diagnostic, DiagnosticError, Severity, Span
from archdsl.nas.choosers import Drawn, Pinned
from archdsl.nas.domains import Numbers
from archdsl.nas.factored.anatomy import Anatomy, Made
from archdsl.nas.factored.conflicts import Conflict, chosen
from archdsl.nas.factored.facts import told
from archdsl.nas.factored.space import FactoredSpace

SHOWN = 5
"""Alternatives that are told of."""
TOGETHER = 3
"""Sets of choices that are told of one alternative."""
NUMBERS = 6
"""Numbers of a range that are told."""
RETRIES = 50
"""Points in which a reason is looked for alone."""


def losses(space: FactoredSpace, nowhere: set[Made]) -> Iterator[Diagnostic]:
    """E420 for every alternative that never compiles together with some others.

    Args:
        space: some points of which compile.
        nowhere: alternatives of which it was told that they fit nowhere.
    """
    places: dict[Span, list[Conflict]] = {}
    for conflict in space.conflicts.found:
        if len(conflict.sets[0]) > 1 or not any(made in nowhere for s in conflict.sets for made in s):
            places.setdefault(_last(space.anatomy, conflict), []).append(conflict)
    sets = [[s for conflict in found for s in conflict.sets] for found in places.values()]
    lost = [space.points - int(space.points * space.anatomy.avoiding(some)) for some in sets]
    ordered = sorted(zip(lost, places.items(), strict=True), key=lambda one: -one[0])
    hidden, unexplained = len(ordered) - SHOWN, space.conflicts.unexplained
    notes = []
    if hidden > 0:
        notes.append(f"{_many(hidden, 'more alternative')} at fault like this")
    if unexplained:
        notes.append(f"{_many(unexplained, 'more point')} of the space do not compile, why is unknown")
    shown = ordered[:SHOWN]
    for number, (points, (span, found)) in enumerate(shown, 1):
        yield _loss(space, points, span, found, notes if number == len(shown) else [])


def _last(anatomy: Anatomy, conflict: Conflict) -> Span:
    """The place of the choice along the way with which it fails."""
    name, value = chosen(conflict.sets[0], anatomy)[-1]
    return anatomy.sites[name].span(value)


def _loss(
    space: FactoredSpace, points: int, span: Span, found: Sequence[Conflict], more: Sequence[str]
) -> Diagnostic:
    cause = _cause(space, found[0])
    label, notes, step = "never compiles", [], "leave it out, or change what it meets"
    if cause is not None:
        label = f"{cause.message}: {cause.label}" if cause.label else cause.message
        notes, step = list(cause.notes), cause.help or step
    together = [note for conflict in found[:TOGETHER] if (note := _together(space.anatomy, conflict))]
    if len(found) > TOGETHER:
        together.append(f"and with {_many(len(found) - TOGETHER, 'other set')} of choices")
    return Diagnostic(
        "E420", f"{told(points)} of {told(space.points)} points do not compile", span, label,
        (*together, *notes, "such points are refused, at no cost", *more), step, Severity.WARNING,
    )  # fmt: skip


def _many(number: int, noun: str) -> str:
    return f"{told(number)} {noun}{'' if number == 1 else 's'}"


def _together(anatomy: Anatomy, conflict: Conflict) -> str:
    """The choices of a set, but for an alternative that the place itself shows."""
    made = chosen(conflict.sets[0], anatomy)
    last = anatomy.sites[made[-1][0]]
    shown = made if isinstance(last.form, Numbers) else made[:-1]
    return f"with {' and '.join(_choice(anatomy, conflict, one) for one in shown)}" if shown else ""


def _choice(anatomy: Anatomy, conflict: Conflict, made: Made) -> str:
    """`path = value (line:column)`; of a range all numbers at fault."""
    name, value = made
    site = anatomy.sites[name]
    span = site.span(value)
    values = [value]
    if isinstance(site.form, Numbers):
        values = sorted({v for s in conflict.sets for n, v in s if n == name}, key=float)
    some = ", ".join(f"{v}" for v in values[:NUMBERS]) + (", ..." if len(values) > NUMBERS else "")
    return f"`{site.line.path} = {some}` ({span.line}:{span.column})"


def _cause(space: FactoredSpace, conflict: Conflict) -> Diagnostic | None:
    """What is wrong in a point with these choices, if one is found in one with no others at fault."""
    pins = space.anatomy.closed(conflict.sets[0]) or {}
    others = [s for c in space.conflicts.found for s in c.sets if c is not conflict]
    random = Random(0)
    best: Diagnostic | None = None
    for number in range(RETRIES):
        point = space.layers.architecture.draw(Drawn(random, pins) if number else Pinned(pins))
        made = set(point.items())
        clean = not any(s <= made for s in others)
        if not clean and best is not None:
            continue
        values = space.layers.architecture.values(point)
        try:
            space.base.at([(line.path, value) for line, value in values])
        except DiagnosticError as error:
            best = error.diagnostics[0]
            if clean:
                return best
    return best
