"""One search of a file: its settings, its space, its claims."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from archdsl.diagnostics import Diagnostic, Source, did_you_mean
from archdsl.graph.architecture import Architecture
from archdsl.graph.elaboration.report import Report, mistake
from archdsl.graph.variation import Base, Change, Sight
from archdsl.lang import parse_expression
from archdsl.lang import tree as t
from archdsl.lang.to_text import to_text
from archdsl.nas.candidates import VariedCandidates
from archdsl.nas.comparisons import ClaimReader
from archdsl.nas.conditions import read_requirement
from archdsl.nas.plan import Budget, ClaimPlan, Limit, Objective, Sampler, SearchPlan
from archdsl.nas.settings import (
    SETTINGS,
    read_budget,
    read_halving,
    read_limit,
    read_objectives,
    read_sampler,
    read_seeds,
    read_switch,
)
from archdsl.nas.trying import try_space
from archdsl.nas.varying import FROM_THE_TASK, TRAIN, read_space, refuse_choices
from archdsl.tasks import Task
from archdsl.tasks.reading import read_task

Line = TypeVar("Line", t.Setting, t.Let, t.Vary, t.Require, t.Claim)


@dataclass
class Reader:
    """Reads one search; mistakes go to the report.

    Args:
        tree: the file.
        path: of the file.
        search: the search.
        report: for mistakes and warnings.
        replaced: texts that replace settings.
    """

    tree: t.SearchFile
    path: Path
    search: t.SearchDef
    report: Report
    replaced: Mapping[str, str]
    settings: dict[str, t.Setting] = field(default_factory=dict)

    def plan(self) -> SearchPlan | None:
        """The plan; None where something is wrong."""
        before = len(self.report.diagnostics)
        self._settings()
        self.report.add(*self.sight.faults())
        for let in self._lets():
            refuse_choices(let.value, "a `let`", self.report)
        task = self._task()
        base, architecture = self._base(task)
        varies = self._lines(t.Vary)
        space = read_space(varies, self.sight, task, self.report)
        requirements = []
        for line in self._lines(t.Require):
            with self.report.guard():
                requirements.append(read_requirement(line, self.sight))
        objectives = self._objectives(task)
        sampler, halving = Sampler(), None
        seeds: tuple[int, ...] = (0,)
        budget, limit, synchronous = Budget(), Limit(), False
        sight, report = self.sight, self.report
        if (s := self.settings.get("sampler")) is not None:
            with report.guard():
                sampler = read_sampler(s.value, sight)
        if (s := self.settings.get("stop")) is not None:
            with report.guard():
                halving = read_halving(s.value, sight, task)
        if (s := self.settings.get("repeat")) is not None:
            with report.guard():
                seeds = read_seeds(s.value, sight)
        if (s := self.settings.get("budget")) is not None:
            with report.guard():
                budget = read_budget(s.value, sight)
        elif varies:
            self._lacks("budget", "it says when to end", "budget = trials(100)")
        if (s := self.settings.get("limit")) is not None:
            with report.guard():
                limit = read_limit(s.value, sight)
        if (s := self.settings.get("synchronous")) is not None:
            with report.guard():
                synchronous = read_switch(s.value, sight)
        claims = self._claims(task, base)
        if not varies and not claims:
            self._lacks("vary", "and it claims nothing", "vary { s3.blocks in one_of(2 x scan, 2 x attn) }")
        if task is None or base is None or architecture is None:
            return None
        candidates = VariedCandidates(base, space, task, seeds, tuple(requirements))
        if space.lines:
            try_space(candidates, self.search, report)
        report.add(*base.untaken())
        if any(d.severity.value == "error" for d in report.diagnostics[before:]):
            return None
        rungs = halving.rungs if halving is not None else (task.epochs,)
        return SearchPlan(
            self.search.name, self.tree.source, architecture, space, candidates, task, objectives, sampler,
            halving, rungs, budget, limit, seeds, claims, synchronous,
            self._identity(architecture, task, objectives, sampler, rungs, seeds),
        )  # fmt: skip

    @cached_property
    def sight(self) -> Sight:
        """What the values of the search see."""
        uses = [s for s in self.tree.statements if isinstance(s, t.Use)]
        return Sight.of(self.tree.source, self.path, uses, self._lets())

    def _lines(self, kind: type[Line]) -> list[Line]:
        return [line for line in self.search.body if isinstance(line, kind)]

    def _lets(self) -> list[t.Let]:
        return [*(s for s in self.tree.statements if isinstance(s, t.Let)), *self._lines(t.Let)]

    def _lacks(self, setting: str, label: str, example: str) -> None:
        name = self.search.name
        wrong = mistake(
            "E401", f"the search `{name}` has no `{setting}`", self.search.name_span, label,
            help=f"write `{example}`",
        )  # fmt: skip
        self.report.add(*wrong.diagnostics)

    def _settings(self) -> None:
        """All settings by name, replaced ones replaced."""
        lines = self._lines(t.Setting)
        for name, text in self.replaced.items():
            with self.report.guard():
                source = Source(f"<{name}>", text)
                expr = parse_expression(source)
                lines = [line for line in lines if line.name != name]
                lines.append(t.Setting(expr.span, name, expr, expr.span))
        for line in lines:
            if line.name not in SETTINGS:
                wrong = mistake(
                    "E402", f"a search has no setting `{line.name}`", line.name_span,
                    f"expected one of: {', '.join(SETTINGS)}",
                    help=did_you_mean(line.name, SETTINGS, "remove it; values of the arch stand in its call"),
                )  # fmt: skip
                self.report.add(*wrong.diagnostics)
            elif line.name in self.settings:
                first = self.settings[line.name].name_span
                wrong = mistake(
                    "E402", f"`{line.name}` is given twice", line.name_span,
                    f"given before in line {first.line}", help="put both into a list, or leave one out",
                )  # fmt: skip
                self.report.add(*wrong.diagnostics)
            else:
                self.settings[line.name] = line
                refuse_choices(line.value, f"`{line.name}`", self.report)

    def _task(self) -> Task | None:
        setting = self.settings.get("task")
        if setting is None:
            self._lacks("task", "what is it trained on?", "task = digits(epochs = 20)")
            return None
        with self.report.guard():
            return read_task(setting.value, self.sight.scope)
        return None

    def _base(self, task: Task | None) -> tuple[Base | None, Architecture | None]:
        setting = self.settings.get("arch")
        if setting is None:
            self._lacks("arch", "what does it vary?", "arch = mambaout_femto(depths = [1, 1, 1, 1])")
            return None, None
        base: Base | None = None
        with self.report.guard():
            fixed = {}
            if task is not None:
                fixed = {"classes": Fraction(task.classes), "channels": Fraction(task.channels)}
            base = Base.of(setting.value, self.sight, fixed)
            for path, value in base.written():
                name = str(path)
                if name in FROM_THE_TASK and path.span is not setting.value.span:
                    self.report.add(_from_the_task(name, path, fixed.get(name)))
                del value
            architecture = base.at()
            if architecture.head is None:
                wrong = mistake(
                    "E403", f"`{architecture.name}` has no head", setting.value.span, "gives no logits",
                    help="a task needs them: give it a `head`",
                )  # fmt: skip
                self.report.add(*wrong.diagnostics)
            return base, architecture
        return base, None

    def _objectives(self, task: Task | None) -> tuple[Objective, ...]:
        both = [s for s in self.settings.values() if s.name in ("maximize", "minimize")]
        if not both:
            self._lacks("maximize", "what is it for?", "maximize = accuracy")
        return read_objectives(both, self.sight, task, self.report)

    def _claims(self, task: Task | None, base: Base | None) -> tuple[ClaimPlan, ...]:
        def attempt(arguments: Sequence[t.Argument]) -> None:
            fields: dict[str, t.Expr] = {}
            places: list[Change] = []
            for a in arguments:
                refuse_choices(a.value, "a claim", self.report)
                if a.path is not None and a.path.steps[0].name == TRAIN and len(a.path.steps) == 2:
                    fields[a.path.steps[1].name] = a.value
                elif a.path is not None:
                    places.append((a.path, a.value))
            if task is not None and fields:
                task.changed(fields)
            if base is not None and places:
                base.at(places)

        return ClaimReader(self.sight, task, attempt, self.report).read(self._lines(t.Claim))

    def _identity(
        self,
        architecture: Architecture,
        task: Task,
        objectives: Sequence[Objective],
        sampler: Sampler,
        rungs: Sequence[int],
        seeds: Sequence[int],
    ) -> str:
        form = [
            architecture.digest(),
            to_text(self.settings["arch"].value),
            [[let.name, to_text(let.value)] for let in self._lets()],
            [[str(v.path), to_text(v.domain)] for vary in self._lines(t.Vary) for v in vary.variations],
            [to_text(r.condition) for r in self._lines(t.Require)],
            task.text(),
            [[o.direction, o.text] for o in objectives],
            repr(sampler),
            list(rungs),
            list(seeds),
        ]
        return hashlib.sha256(json.dumps(form).encode()).hexdigest()


def _from_the_task(name: str, path: t.Path, needed: Fraction | None) -> Diagnostic:
    return Diagnostic(
        "E403", f"`{name}` comes from the task", path.span,
        f"the task has {needed}" if needed is not None else "set here too", help="leave it out",
    )  # fmt: skip
