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
from archdsl.nas.domains import VariedSpace
from archdsl.nas.space import Candidate, Point, Refusal
from archdsl.nas.varying import TRAIN
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
        values = [(line.path, value, line.field) for line, value in self.space.values(point)]
        changes = {str(path): to_text(value) for path, value, _ in values}
        places = [(path, value) for path, value, name in values if name is None]
        fields = {name: value for _, value, name in values if name is not None}
        try:
            counted = self._built(places, changes)
            task = self.task.changed(fields) if fields else self.task
        except DiagnosticError as error:
            return Refusal(point, changes, _reason(error.diagnostics[0]), 1.0)
        candidate = self._candidate(point, changes, counted, task)
        for requirement in self.requirements:
            excess = requirement.excess({"params": candidate.params, "macs": candidate.macs})
            if excess is not None:
                return Refusal(point, changes, requirement.reason(candidate.params, candidate.macs), excess)
        return candidate

    def with_changes(self, changes: Mapping[str, str]) -> Candidate:
        """A variant of the base, whatever `require` says.

        Args:
            changes: paths with text of the language, `train.FIELD` too.

        Raises:
            DiagnosticError: where it can't be.
        """
        places: list[Change] = []
        fields: dict[str, t.Expr] = {}
        for name, text in changes.items():
            path = parse_path(Source(f"<{name}>", name))
            value = parse_expression(Source(f"<{name}>", text))
            if path.steps[0].name == TRAIN and len(path.steps) == 2:
                fields[path.steps[1].name] = value
            else:
                places.append((path, value))
        counted = self._built(places, changes)
        task = self.task.changed(fields) if fields else self.task
        return self._candidate({}, changes, counted, task)

    def _candidate(self, point: Point, changes: Mapping[str, str], counted: Counted, task: Task) -> Candidate:
        text = json.dumps([counted.training, task.text(), list(self.seeds)])
        key = hashlib.sha256(text.encode()).hexdigest()
        return Candidate(
            point, changes, counted.architecture, task, key, counted.cost.params, counted.cost.macs.total
        )

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
