"""A space, looked at before a search starts: every alternative on the base, then all points of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from archdsl.diagnostics import Diagnostic, DiagnosticError, Severity, Span
from archdsl.graph.architecture import Architecture
from archdsl.graph.elaboration.report import Report
from archdsl.lang import tree as t
from archdsl.nas.candidates import VariedCandidates
from archdsl.nas.choosers import Drawn, Pinned
from archdsl.nas.domains import Line
from archdsl.nas.factored import FactoredSpace
from archdsl.nas.factored.anatomy import Made
from archdsl.nas.factored.facts import Facts
from archdsl.nas.factored.ranges import Range
from archdsl.nas.factored.share import Share
from archdsl.nas.factored.telling import losses
from archdsl.nas.factored.unmet import unmet
from archdsl.nas.few_tokens import FewTokens
from archdsl.nas.space import Candidate, Choice, Point, Refusal

SAMPLES = 50
"""Points that are tried, where there are too many to try all, and the space does not factor."""
ALL = 64
"""How many are not too many."""
RETRIES = 12
"""Points that are tried with an alternative that does not fit the base, where the space does not factor."""


def try_space(
    candidates: VariedCandidates, search: t.SearchDef, few: FewTokens, report: Report
) -> FactoredSpace | Sampled | None:
    """Tells what is wrong with the alternatives of a space, and where none of its points will do.

    An alternative that does not fit the base is no mistake where it fits with other choices. One that fits
    nowhere is a mistake of names, or a warning where only shapes are to blame: its points will be refused.

    Returns:
        What is known of the space; None where its alternatives are wrong.
    """
    whole = FactoredSpace.of(candidates.base, candidates.space, candidates.requirements)
    trying = _Trying(candidates, search, few, report, whole)
    trying.alternatives()
    if trying.wrong or any(d.severity is Severity.ERROR for d in report.diagnostics):
        return None
    if isinstance(whole, str):
        return trying.points(whole)
    if whole.start is None:
        trying.points("")
    else:
        report.add(*losses(whole, trying.nowhere))
        report.add(*unmet(whole))
    return whole


@dataclass(frozen=True, slots=True)
class Sampled:
    """What is known of a space that does not factor, from some of its points.

    Args:
        reason: why it does not factor.
        tried: how many points were looked at.
        every: whether those are all.
        fitting: those that compile.
        met: how many of those meet what is required.
        required: whether anything is.
        points: how many there are; None for infinitely many.
    """

    reason: str
    tried: int
    every: bool
    fitting: tuple[Candidate, ...]
    met: int
    required: bool
    points: int | None

    def facts(self, search: str, size: str) -> Facts:
        """What is known, for the search of that name and the size of its space in words."""
        fitting = self.fitting
        known = {c.architecture.digest() for c in fitting} if self.every else None
        share = Share(self.met, self.met, len(fitting)) if self.required and fitting else None
        return Facts(
            search,
            size,
            self.points,
            len(fitting),
            None if known is None else len(known),
            _range([c.params for c in fitting]),
            _range([c.macs for c in fitting]),
            _range([c.architecture.cost().activation_bytes for c in fitting]),
            share,
            self.tried,
            self.reason,
        )


def _range(counts: Sequence[int]) -> Range | None:
    return Range(min(counts), max(counts)) if counts else None


@dataclass(slots=True)
class _Trying:
    candidates: VariedCandidates
    search: t.SearchDef
    few: FewTokens
    report: Report
    whole: FactoredSpace | str
    wrong: bool = False
    nowhere: set[Made] = field(default_factory=set)
    random: Random = field(default_factory=lambda: Random(0))

    def alternatives(self) -> None:
        for line, pins, span in self.candidates.space.pins():
            try:
                architecture = _alone(self.candidates, line, pins)
            except DiagnosticError as error:
                self._suspect(line, pins, error.diagnostics)
            else:
                if architecture is not None:
                    self.few.look(architecture, span)

    def _suspect(self, line: Line, pins: dict[str, Choice], diagnostics: Sequence[Diagnostic]) -> None:
        tried = self._fitting_nowhere(line, pins)
        if tried is None:
            return
        self.nowhere.add(list(pins.items())[-1])
        for d in diagnostics:
            if d.code.startswith("E3") or d.code == "E212":
                note = f"{tried} with it fits; such points are refused, at no cost"
                self.report.add(replace(d, severity=Severity.WARNING, notes=(*d.notes, note)))
            else:
                self.wrong = True
                self.report.add(d)

    def _fitting_nowhere(self, line: Line, pins: dict[str, Choice]) -> str | None:
        """Which points do not fit, in words; None where some with these choices do."""
        whole = self.whole
        if isinstance(whole, FactoredSpace) and line.field is None:
            made = list(pins.items())[-1]
            if made in whole.chosen:
                return None
            points = whole.points_with(made)
            return "not even the one point" if points == 1 else f"none of the {points:,} points"
        for _ in range(RETRIES):
            point = self.candidates.space.draw(Drawn(self.random, pins))
            if isinstance(self.candidates.whatever_required(point), Candidate):
                return None
        return f"none of {RETRIES} points"

    def points(self, reason: str) -> Sampled:
        """Tries all points of a small space, else some."""
        space, requirements = self.candidates.space, self.candidates.requirements
        every = space.count is not None and space.count <= ALL
        points: Sequence[Point] = (
            list(space.points()) if every else [space.draw(Drawn(self.random, {})) for _ in range(SAMPLES)]
        )
        found = [self.candidates.whatever_required(point) for point in points]
        fitting = [c for c in found if isinstance(c, Candidate)]
        if not fitting:
            refusals = [r for r in found if isinstance(r, Refusal)]
            self.report.add(_none_fits(self.search, refusals, self._tried(len(refusals), every)))
            return Sampled(reason, len(points), every, (), 0, bool(requirements), space.count)
        met = sum(all(r.excess(c) is None for r in requirements) for c in fitting)
        if not met:
            self._unmet(fitting, every)
        return Sampled(reason, len(points), every, tuple(fitting), met, bool(requirements), space.count)

    def _tried(self, number: int, every: bool) -> str:
        if every or isinstance(self.whole, str):
            return f"tried {_many(number, every)}"
        return f"none of all {self.whole.points:,} compiles"

    def _unmet(self, fitting: Sequence[Candidate], every: bool) -> None:
        """E410 or E408 where no point meets what is required."""
        requirements = self.candidates.requirements
        unmet = [r for r in requirements if all(r.excess(c) is not None for c in fitting)]
        for requirement in unmet:
            nearest = min(fitting, key=lambda c: requirement.excess(c) or 0.0)
            label = f"the nearest of {_many(len(fitting), every)} has {requirement.found(nearest)}"
            self.report.add(_not_met(requirement.line.condition.span, label, every))
        if not unmet:
            label = f"none of {_many(len(fitting), every)} meets this and those above together"
            self.report.add(_not_met(requirements[-1].line.condition.span, label, every))


def _alone(candidates: VariedCandidates, line: Line, pins: dict[str, Choice]) -> Architecture | None:
    """The base with one of the alternatives of one line, and what it takes over from others."""
    values = candidates.space.alone(line, Pinned(pins))
    if line.field is None:
        return candidates.base.at([(other.path, value) for other, value in values])
    candidates.with_fields({other.field: value for other, value in values if other.field is not None})
    return None


def _many(number: int, every: bool) -> str:
    return f"all {number} points" if every else f"{number} points drawn at random"


def _none_fits(search: t.SearchDef, refusals: Sequence[Refusal], label: str) -> Diagnostic:
    (reason, times), *_ = Counter(r.reason for r in refusals).most_common(1)
    vary = next(line.span for line in search.body if isinstance(line, t.Vary))
    span = Span(vary.source, vary.line, vary.column, vary.line, vary.column + len("vary"))
    return Diagnostic(
        "E410", "no point of the space is valid", span, label,
        (f"{times} of them: {reason}",), "change the alternatives, or the architecture they stand in",
    )  # fmt: skip


def _not_met(span: Span, label: str, every: bool) -> Diagnostic:
    step = "ask for less, or vary the architecture so that some points meet it"
    if every:
        return Diagnostic("E410", "no point of the space is valid", span, label, (), step)
    return Diagnostic("E408", "this may never be met", span, label, (), step, Severity.WARNING)
