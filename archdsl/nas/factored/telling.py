"""Diagnostics for points that do not compile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from archdsl.diagnostics import Diagnostic, DiagnosticError, Severity
from archdsl.nas.choosers import Drawn, Pinned
from archdsl.nas.factored.anatomy import Anatomy, Made
from archdsl.nas.factored.conflicts import Conflict, chosen
from archdsl.nas.factored.space import FactoredSpace

SHOWN = 5
"""Reasons that are told, alternatives that fit nowhere left out."""
RETRIES = 50
"""Points in which a reason is looked for alone."""


def losses(space: FactoredSpace, told: set[Made]) -> Iterator[Diagnostic]:
    """E420 for every set of choices that never compiles.

    Args:
        space: some points of which compile.
        told: alternatives of which it was told that they fit nowhere.
    """
    found = space.conflicts
    single = [c for c in found.found if len(c.sets[0]) == 1]
    alone = [c for c in single if not any(made in told for s in c.sets for made in s)]
    several = [c for c in found.found if len(c.sets[0]) > 1]
    several.sort(key=lambda c: -c.lost)
    shown = [*alone, *several][:SHOWN]
    hidden = len(alone) + len(several) - len(shown)
    notes = []
    if hidden:
        notes.append(f"{hidden} more such sets of choices were found")
    if found.unexplained:
        notes.append(f"{found.unexplained:,} more points do not compile, why is unknown")
    for number, conflict in enumerate(shown, 1):
        last = notes if number == len(shown) else []
        yield _loss(space, conflict, last)


def _loss(space: FactoredSpace, conflict: Conflict, more: Sequence[str]) -> Diagnostic:
    anatomy = space.anatomy
    first = min(conflict.sets, key=lambda s: [anatomy.sites[name].order for name, _ in chosen(s, anatomy)])
    *others, (name, value) = chosen(first, anatomy)
    cause = _cause(space, conflict)
    label, notes, step = "never compiles", [], "leave it out, or change what it meets"
    if cause is not None:
        label = f"{cause.message}: {cause.label}" if cause.label else cause.message
        notes, step = list(cause.notes), cause.help or step
    together = [f"with {_choice(anatomy, made)}" for made in others]
    values = _values(anatomy, conflict, name)
    if len(values) > 1:
        together.append(f"the same with {', '.join(values[1:-1])}{' and ' if values[2:] else ''}{values[-1]}")
    notes = [*together, *notes, "such points are refused, at no cost", *more]
    return Diagnostic(
        "E420", f"{conflict.lost:,} of {space.points:,} points do not compile",
        anatomy.sites[name].span(value), label, tuple(notes), step, Severity.WARNING,
    )  # fmt: skip


def _choice(anatomy: Anatomy, made: Made) -> str:
    name, value = made
    site = anatomy.sites[name]
    span = site.span(value)
    return f"`{site.line.path} = {value}` ({span.line}:{span.column})"


def _values(anatomy: Anatomy, conflict: Conflict, name: str) -> list[str]:
    """The numbers of one range that are at fault."""
    found = sorted({value for s in conflict.sets for n, value in s if n == name}, key=str)
    return [f"{value}" for value in found] if len(found) > 1 else []


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
