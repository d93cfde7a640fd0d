"""A space, tried before a search starts: every alternative on the base, then points of it."""

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
from archdsl.nas.space import Candidate, Choice, Point, Refusal

SAMPLES = 50
"""Points that are tried, where there are too many to try all."""
ALL = 64
"""How many are not too many."""
RETRIES = 12
"""Points that are tried with an alternative that does not fit the base."""
FEW_TOKENS = 16


def try_space(candidates: VariedCandidates, search: t.SearchDef, few: FewTokens, report: Report) -> None:
    """Tells what is wrong with the alternatives of a space, and where none of its points will do.

    An alternative that does not fit the base is no mistake where it fits with other choices. One that fits
    nowhere is a mistake of names, or a warning where only shapes are to blame: its points will be refused.
    """
    trying = _Trying(candidates, few, report)
    trying.alternatives()
    if trying.wrong or any(d.severity is Severity.ERROR for d in report.diagnostics):
        return
    trying.points(search)


@dataclass(slots=True)
class _Trying:
    candidates: VariedCandidates
    few: FewTokens
    report: Report
    wrong: bool = False
    random: Random = field(default_factory=lambda: Random(0))

    def alternatives(self) -> None:
        for line, pins, span in self.candidates.space.pins():
            try:
                architecture = _alone(self.candidates, line, pins)
            except DiagnosticError as error:
                self._suspect(pins, error.diagnostics)
            else:
                if architecture is not None:
                    self.few.look(architecture, span)

    def _suspect(self, pins: dict[str, Choice], diagnostics: Sequence[Diagnostic]) -> None:
        for _ in range(RETRIES):
            point = self.candidates.space.draw(Drawn(self.random, pins))
            if isinstance(self.candidates.whatever_required(point), Candidate):
                return
        for d in diagnostics:
            if d.code.startswith("E3") or d.code == "E212":
                note = f"none of {RETRIES} points with it fits; such points are refused, at no cost"
                self.report.add(replace(d, severity=Severity.WARNING, notes=(*d.notes, note)))
            else:
                self.wrong = True
                self.report.add(d)

    def points(self, search: t.SearchDef) -> None:
        space = self.candidates.space
        every = space.count is not None and space.count <= ALL
        points: Sequence[Point] = (
            list(space.points()) if every else [space.draw(Drawn(self.random, {})) for _ in range(SAMPLES)]
        )
        found = [self.candidates.whatever_required(point) for point in points]
        fitting = [c for c in found if isinstance(c, Candidate)]
        if not fitting:
            self.report.add(_none_fits(search, [r for r in found if isinstance(r, Refusal)], every))
            return
        unmet = [r for r in self.candidates.requirements if all(r.excess(c) is not None for c in fitting)]
        for requirement in unmet:
            nearest = min(fitting, key=lambda c: requirement.excess(c) or 0.0)
            label = f"the nearest of {_many(len(fitting), every)} has {requirement.found(nearest)}"
            self.report.add(_unmet(requirement.line.condition.span, label, every))
        if unmet or any(all(r.excess(c) is None for r in self.candidates.requirements) for c in fitting):
            return
        line = self.candidates.requirements[-1].line
        label = f"none of {_many(len(fitting), every)} meets this and those above together"
        self.report.add(_unmet(line.condition.span, label, every))


def _alone(candidates: VariedCandidates, line: Line, pins: dict[str, Choice]) -> Architecture | None:
    """The base with one of the alternatives of one line, and what it takes over from others."""
    values = candidates.space.alone(line, Pinned(pins))
    if line.field is None:
        return candidates.base.at([(other.path, value) for other, value in values])
    candidates.with_fields({other.field: value for other, value in values if other.field is not None})
    return None


def _many(number: int, every: bool) -> str:
    return f"all {number} points" if every else f"{number} points drawn at random"


def _none_fits(search: t.SearchDef, refusals: Sequence[Refusal], every: bool) -> Diagnostic:
    (reason, times), *_ = Counter(r.reason for r in refusals).most_common(1)
    vary = next(line.span for line in search.body if isinstance(line, t.Vary))
    span = Span(vary.source, vary.line, vary.column, vary.line, vary.column + len("vary"))
    return Diagnostic(
        "E410", "no point of the space is valid", span, f"tried {_many(len(refusals), every)}",
        (f"{times} of them: {reason}",), "change the alternatives, or the architecture they stand in",
    )  # fmt: skip


def _unmet(span: Span, label: str, every: bool) -> Diagnostic:
    step = "ask for less, or vary the architecture so that some points meet it"
    if every:
        return Diagnostic("E410", "no point of the space is valid", span, label, (), step)
    return Diagnostic("E408", "this may never be met", span, label, (), step, Severity.WARNING)


@dataclass(slots=True)
class FewTokens:
    """Tells of mixers that see few tokens, once for every stage and size of its map.

    Args:
        report: for the warnings.
    """

    report: Report
    _told: set[tuple[str, tuple[int, ...]]] = field(default_factory=set)

    def look(self, architecture: Architecture, span: Span) -> None:
        """E415 at a place for what an architecture has that was not told yet."""
        for stage in architecture.stages:
            for node in (n for block in stage.blocks for n in block.walk()):
                grid = node.input.grid
                if not node.op.mixes_tokens or not grid or node.input.patches >= FEW_TOKENS:
                    continue
                if (stage.name, grid) in self._told:
                    continue
                self._told.add((stage.name, grid))
                shape = " x ".join(map(str, grid))
                self.report.add(
                    Diagnostic(
                        "E415", f"a mixer of `{stage.name}` sees {_tokens(node.input.patches)}", span,
                        f"`{node.op.name}` works on {shape}",
                        ("so few tells little about a mixer",),
                        f"give it {FEW_TOKENS} or more: a larger `image`, a finer stem, wider windows",
                        Severity.WARNING,
                    )
                )  # fmt: skip


def _tokens(tokens: int) -> str:
    """`1 token`, `4 tokens`."""
    return "1 token" if tokens == 1 else f"{tokens} tokens"
