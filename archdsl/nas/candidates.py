"""From points and changes to what is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source
from archdsl.graph.architecture import Architecture
from archdsl.graph.block_times import Prediction, predict
from archdsl.graph.variation import Base
from archdsl.lang import parse_expression, parse_path
from archdsl.lang import tree as t
from archdsl.lang.to_text import to_text
from archdsl.nas.assembly import Assembly, BuiltOnce
from archdsl.nas.conditions import Requirement
from archdsl.nas.domains import Fixed, Line, VariedSpace
from archdsl.nas.plan import Objective
from archdsl.nas.space import Candidate, Point, Refusal
from archdsl.nas.varying import field_of
from archdsl.tasks import Task


@dataclass(slots=True)
class VariedCandidates:
    """From points of a space to candidates; see `archdsl.nas.space.Candidates`.

    Args:
        base: the unvaried architecture.
        space: whose points they are.
        task: before it is varied.
        seeds: of the runs behind every candidate.
        requirements: what a candidate has to meet.
        predicted: objectives whose value is the sum of block times.
    """

    base: Base
    space: VariedSpace
    task: Task
    seeds: tuple[int, ...]
    requirements: tuple[Requirement, ...] = ()
    predicted: tuple[Objective, ...] = ()
    _assembly: Assembly = field(init=False)
    _names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._assembly = Assembly(self.base)
        self._names = tuple(str(line.path) for line in self.space.lines)

    def at(self, point: Point) -> Candidate | Refusal:
        """What a point stands for; refused where a shape does not fit or `require` is not met."""
        found = self.whatever_required(point)
        if isinstance(found, Refusal):
            return found
        for requirement in self.requirements:
            excess = requirement.excess(found)
            if excess is not None:
                return Refusal(point, found.changes, requirement.reason(found), excess)
        return self._with_times(found) if self.predicted else found

    def _with_times(self, candidate: Candidate) -> Candidate | Refusal:
        """With predicted times; refused where a table lacks a block."""
        found: dict[str, float] = {}
        for objective in self.predicted:
            why = lacking(objective, candidate.architecture)
            if why is not None:
                return Refusal(candidate.point, candidate.changes, why, 1.0)
            found[objective.text] = _prediction(objective, candidate.architecture).seconds
        return replace(candidate, predicted=found)

    def whatever_required(self, point: Point) -> Candidate | Refusal:
        """What a point stands for; refused where a shape does not fit."""
        values = self.space.values(point)
        text = self._assembly.text
        changes = {
            name: to_text(value) if line.field is not None else text(value)
            for name, (line, value) in zip(self._names, values, strict=True)
        }
        try:
            return self._candidate(point, changes, values, all_mistakes=False)
        except DiagnosticError as error:
            return Refusal(point, changes, _reason(error.diagnostics[0]), 1.0)

    def with_changes(self, changes: Mapping[str, str]) -> Candidate:
        """A variant of the base, whatever `require` says. Settings that nothing there takes change nothing.

        Args:
            changes: paths with text of the language, `train.FIELD` too.

        Raises:
            DiagnosticError: where it can't be.
        """
        values: list[tuple[Line, t.Expr]] = []
        for name, text in changes.items():
            path = parse_path(Source(f"<{name}>", name))
            value = parse_expression(Source(f"<{name}>", text))
            values.append((Line(path, Fixed(value), field_of(path)), value))
        return self._candidate({}, changes, values, all_mistakes=True)

    def _candidate(
        self,
        point: Point,
        changes: Mapping[str, str],
        values: Sequence[tuple[Line, t.Expr]],
        all_mistakes: bool,
    ) -> Candidate:
        places = [(line.path, value) for line, value in values if line.field is None]
        fields = {line.field: value for line, value in values if line.field is not None}
        found = self._assembly.count(places, all_mistakes)
        task = self.with_fields(fields)
        built = BuiltOnce(self.base, places, found, task, self.seeds)
        return Candidate(point, changes, task, found.params, found.macs, built)

    def with_fields(self, fields: Mapping[str, t.Expr]) -> Task:
        """The task with values for some of its fields; they see the lets of the search.

        Raises:
            DiagnosticError: E404.
        """
        if not fields:
            return self.task
        sight = self.base.sight
        return self.task.changed({name: sight.written_out(value) for name, value in fields.items()})


def _prediction(objective: Objective, architecture: Architecture) -> Prediction:
    if objective.times is None:
        raise LookupError(f"{objective.text} has no table")
    return predict(architecture, objective.times, objective.batch or 1)


def lacking(objective: Objective, architecture: Architecture) -> str | None:
    """Which blocks of an architecture the table of an objective lacks, on one line; None for none."""
    missing = _prediction(objective, architecture).missing
    if not missing:
        return None
    first, *rest = missing
    more = f" and {len(rest)} more" if rest else ""
    return f"{objective.table} has no time of {first.name} on {first.input}{more}, batch {objective.batch}"


def _reason(d: Diagnostic) -> str:
    """A mistake on one line."""
    return f"{d.message}: {d.label}" if d.label else d.message
