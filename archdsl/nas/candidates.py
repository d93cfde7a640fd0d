"""From points and changes to what is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source
from archdsl.graph.variation import Base, Change, Counted
from archdsl.lang import parse_expression, parse_path
from archdsl.lang import tree as t
from archdsl.lang.to_text import to_text
from archdsl.nas.conditions import Requirement
from archdsl.nas.domains import Fixed, Line, VariedSpace
from archdsl.nas.space import Candidate, Point, Refusal
from archdsl.nas.varying import field_of
from archdsl.tasks import Task

KEPT = 4096
"""Architectures that are remembered with what they cost."""


@dataclass(slots=True)
class VariedCandidates:
    """From points of a space to candidates; see `archdsl.nas.space.Candidates`.

    Args:
        base: the unvaried architecture.
        space: whose points they are.
        task: before it is varied.
        seeds: of the runs behind every candidate.
        requirements: what a candidate has to meet.
    """

    base: Base
    space: VariedSpace
    task: Task
    seeds: tuple[int, ...]
    requirements: tuple[Requirement, ...] = ()
    _counted: dict[tuple[str, ...], Counted | tuple[Diagnostic, ...]] = field(default_factory=dict)

    def at(self, point: Point) -> Candidate | Refusal:
        """What a point stands for; refused where a shape does not fit or `require` is not met."""
        found = self.whatever_required(point)
        if isinstance(found, Refusal):
            return found
        for requirement in self.requirements:
            excess = requirement.excess(found)
            if excess is not None:
                return Refusal(point, found.changes, requirement.reason(found), excess)
        return found

    def whatever_required(self, point: Point) -> Candidate | Refusal:
        """What a point stands for; refused where a shape does not fit."""
        values = self.space.values(point)
        changes = {str(line.path): to_text(value) for line, value in values}
        try:
            return self._candidate(point, changes, values)
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
        return self._candidate({}, changes, values)

    def _candidate(
        self, point: Point, changes: Mapping[str, str], values: Sequence[tuple[Line, t.Expr]]
    ) -> Candidate:
        places = [(line.path, value) for line, value in values if line.field is None]
        fields = {line.field: value for line, value in values if line.field is not None}
        counted = self._built(places, changes)
        task = self.with_fields(fields)
        text = json.dumps([counted.training, task.text(), list(self.seeds)])
        key = hashlib.sha256(text.encode()).hexdigest()
        cost = counted.cost
        return Candidate(point, changes, counted.architecture, task, key, cost.params, cost.macs.total)

    def with_fields(self, fields: Mapping[str, t.Expr]) -> Task:
        """The task with values for some of its fields; they see the lets of the search.

        Raises:
            DiagnosticError: E404.
        """
        if not fields:
            return self.task
        sight = self.base.sight
        return self.task.changed({name: sight.written_out(value) for name, value in fields.items()})

    def _built(self, places: Sequence[Change], changes: Mapping[str, str]) -> Counted:
        """The architecture with values in its places, built once."""
        key = tuple(text for path, _ in places for text in (str(path), changes[str(path)]))
        kept = self._counted.get(key)
        if kept is None:
            try:
                kept = self.base.count(self.base.at(places))
            except DiagnosticError as error:
                kept = error.diagnostics
            if len(self._counted) >= KEPT:
                self._counted.clear()
            self._counted[key] = kept
        if isinstance(kept, tuple):
            raise DiagnosticError(*kept)
        return kept


def _reason(d: Diagnostic) -> str:
    """A mistake on one line."""
    return f"{d.message}: {d.label}" if d.label else d.message
