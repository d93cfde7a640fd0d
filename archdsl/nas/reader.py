"""One search of a file: its settings, its space, its claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from archdsl.diagnostics import Diagnostic, Severity, Source, Span, did_you_mean
from archdsl.graph.architecture import Architecture
from archdsl.graph.elaboration.report import Report, mistake
from archdsl.graph.variation import Base, Change, Sight
from archdsl.lang import parse_expression
from archdsl.lang import tree as t
from archdsl.nas.candidates import VariedCandidates
from archdsl.nas.comparisons import ClaimReader
from archdsl.nas.conditions import Requirement, read_requirement
from archdsl.nas.factored import FactoredSpace
from archdsl.nas.few_tokens import FewTokens
from archdsl.nas.fitting import misfits
from archdsl.nas.forms import unwrapped
from archdsl.nas.identity import identity
from archdsl.nas.objectives import read_objectives, without_times
from archdsl.nas.plan import Budget, ClaimPlan, Limit, Objective, Sampler, SearchPlan
from archdsl.nas.settings import (
    SETTINGS,
    read_budget,
    read_halving,
    read_limit,
    read_sampler,
    read_seeds,
    read_switch,
)
from archdsl.nas.trying import Sampled, try_space
from archdsl.nas.varying import FROM_THE_TASK, field_of, read_space, refuse_choices
from archdsl.tasks import Task
from archdsl.tasks.reading import read_task

Line = TypeVar("Line", t.Setting, t.Let, t.Vary, t.Require, t.Claim)
T = TypeVar("T")
_EXAMPLES = {
    "arch": "arch = mambaout_femto(depths = [1, 1, 1, 1])",
    "task": "task = digits(epochs = 20)",
    "maximize": "maximize = accuracy",
    "budget": "budget = trials(100)",
    "vary": "vary { s3.blocks in one_of(2 x scan, 2 x attn) }",
}


@dataclass
class Reader:
    """Reads one search; mistakes and warnings go to the report.

    Args:
        tree: the file.
        path: of the file.
        search: the search.
        report: what was found so far.
        replaced: texts that replace settings.

    Attributes:
        settings: by name.
        unreadable: names of those that were found wrong before they were read.
        size: of the space, in words.
        looked: what is known of the space; None where nothing is varied, or something is wrong.
    """

    tree: t.SearchFile
    path: Path
    search: t.SearchDef
    report: Report
    replaced: Mapping[str, str]
    settings: dict[str, t.Setting] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    size: str = ""
    looked: FactoredSpace | Sampled | None = None

    def plan(self) -> SearchPlan | None:
        """The plan; None where something is wrong."""
        before = self._errors()
        sight, report = self.sight, self.report
        report.add(*sight.faults())
        self._settings()
        for let in self._lets():
            refuse_choices(let.value, "a `let`", report)
        task = self._read("task", lambda e: read_task(e, sight.scope), None)
        base, architecture = self._base(task)
        space = read_space(self._lines(t.Vary), sight, task, report, base)
        self.size = space.told()
        requirements = self._requirements()
        objectives = self._objectives(task)
        sampler = self._read("sampler", lambda e: read_sampler(e, sight), Sampler())
        halving = self._read("stop", lambda e: read_halving(e, sight, task), None)
        one_seed: tuple[int, ...] = (0,)
        seeds = self._read("repeat", lambda e: read_seeds(e, sight), one_seed)
        budget = self._read("budget", lambda e: read_budget(e, sight), Budget())
        limit = self._read("limit", lambda e: read_limit(e, sight), Limit())
        synchronous = self._read("synchronous", lambda e: read_switch(e, sight), False)
        claims = self._claims(task, base)
        self._lacking()
        if task is None or base is None or architecture is None:
            return None
        predicted = tuple(o for o in objectives if o.times is not None)
        candidates = VariedCandidates(base, space, task, seeds, requirements, predicted)
        few = FewTokens(report)
        few.look(architecture, self._image())
        if space.lines:
            self.looked = try_space(candidates, self.search, few, report)
        report.add(*base.untaken())
        if not self._errors():
            report.add(*without_times(candidates, self.settings, self.path))
        rungs = halving.rungs if halving is not None else (task.epochs,)
        sides = self.settings["arch"].value, task, objectives, sampler, rungs, halving, seeds
        plan = SearchPlan(
            self.search.name, self.tree.source, architecture, space, candidates, task, objectives, sampler,
            halving, rungs, budget, limit, seeds, claims, synchronous,
            identity(self.search, sight, architecture, *sides),
            whole=self.looked if isinstance(self.looked, FactoredSpace) else None,
        )  # fmt: skip
        if self._errors() > before:
            return None
        first = next((claim.finding_span for claim in self._lines(t.Claim)), None)
        report.add(*misfits(plan, self.size, self.settings, first))
        return plan if self._errors() == before else None

    @cached_property
    def sight(self) -> Sight:
        """What the values of the search see."""
        uses = [s for s in self.tree.statements if isinstance(s, t.Use)]
        return Sight.of(self.tree.source, self.path, uses, self._lets())

    def _errors(self) -> int:
        return sum(d.severity is Severity.ERROR for d in self.report.diagnostics)

    def _lines(self, kind: type[Line]) -> list[Line]:
        return [line for line in self.search.body if isinstance(line, kind)]

    def _lets(self) -> list[t.Let]:
        return [*(s for s in self.tree.statements if isinstance(s, t.Let)), *self._lines(t.Let)]

    def _read(self, name: str, read: Callable[[t.Expr], T], default: T) -> T:
        setting = self.settings.get(name)
        if setting is not None and name not in self.unreadable:
            with self.report.guard():
                return read(setting.value)
        return default

    def _settings(self) -> None:
        """All settings by name, replaced ones replaced."""
        lines = self._lines(t.Setting)
        for name, text in self.replaced.items():
            with self.report.guard():
                expr = parse_expression(Source(f"<{name}>", text))
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
                    f"given before in line {first.line}", help="leave one out",
                )  # fmt: skip
                self.report.add(*wrong.diagnostics)
            else:
                self.settings[line.name] = line
                if refuse_choices(line.value, f"`{line.name}`", self.report):
                    self.unreadable.add(line.name)

    def _lacking(self) -> None:
        """E401 for everything that has no default."""
        vary, claim = self._lines(t.Vary), self._lines(t.Claim)
        lacks = [name for name in ("arch", "task") if name not in self.settings]
        if not {"maximize", "minimize"} & set(self.settings):
            lacks.append("maximize")
        if vary and "budget" not in self.settings:
            lacks.append("budget")
        if not vary and not claim:
            lacks.append("vary")
        if lacks:
            names = " and ".join(f"`{name}`" for name in lacks)
            wrong = mistake(
                "E401", f"the search `{self.search.name}` has no {names}", self.search.name_span,
                f"{'these are' if len(lacks) > 1 else 'this is'} missing",
                help=f"write {', '.join(f'`{_EXAMPLES[name]}`' for name in lacks)}",
            )  # fmt: skip
            self.report.add(*wrong.diagnostics)

    def _base(self, task: Task | None) -> tuple[Base | None, Architecture | None]:
        setting = self.settings.get("arch")
        if setting is None or "arch" in self.unreadable:
            return None, None
        base: Base | None = None
        with self.report.guard():
            fixed = {}
            if task is not None:
                fixed = {"classes": Fraction(task.classes), "channels": Fraction(task.channels)}
            base = Base.of(setting.value, self.sight, fixed)
            for name in FROM_THE_TASK:
                if (path := _given(setting.value, name)) is not None:
                    self.report.add(_from_the_task(name, path, fixed.get(name)))
            architecture = base.at()
            if architecture.head is None:
                raise mistake(
                    "E403", f"`{architecture.name}` has no head", setting.value.span, "gives no logits",
                    help="a task needs them: give it a `head`",
                )  # fmt: skip
            return base, architecture
        return base, None

    def _image(self) -> Span:
        """The place to blame for the size of maps: the image where the call gives one."""
        call = self.settings["arch"].value
        argument = next((a for a in _arguments(call) if str(a.path) == "image"), None)
        return call.span if argument is None else argument.span

    def _requirements(self) -> tuple[Requirement, ...]:
        found = []
        for line in self._lines(t.Require):
            refuse_choices(line.condition, "`require`", self.report)
            with self.report.guard():
                found.append(read_requirement(line, self.sight))
        return tuple(found)

    def _objectives(self, task: Task | None) -> tuple[Objective, ...]:
        both = [s for s in self.settings.values() if s.name in ("maximize", "minimize")]
        both = [s for s in both if s.name not in self.unreadable]
        return read_objectives(both, self.sight, task, self.report)

    def _claims(self, task: Task | None, base: Base | None) -> tuple[ClaimPlan, ...]:
        def attempt(arguments: Sequence[t.Argument]) -> None:
            fields: dict[str, t.Expr] = {}
            places: list[Change] = []
            for a in arguments:
                refuse_choices(a.value, "a claim", self.report)
                if a.path is None:
                    continue
                name = field_of(a.path)
                if str(a.path) in FROM_THE_TASK or name == "epochs":
                    raise mistake(
                        "E409", f"`{a.path}` is the same on all sides", a.path.span, "the task has it",
                        help="leave it out",
                    )  # fmt: skip
                if name is None:
                    places.append((a.path, a.value))
                else:
                    fields[name] = a.value
            if task is not None and fields:
                task.changed({name: self.sight.written_out(value) for name, value in fields.items()})
            if base is not None and places:
                base.at(places)

        return ClaimReader(self.sight, task, attempt, self.report).read(self._lines(t.Claim))


def _arguments(call: t.Expr) -> tuple[t.Argument, ...]:
    call = unwrapped(call)
    return call.arguments if isinstance(call, t.Call) else ()


def _given(call: t.Expr, name: str) -> t.Path | None:
    """The path of an argument of that name."""
    return next((a.path for a in _arguments(call) if a.path is not None and str(a.path) == name), None)


def _from_the_task(name: str, path: t.Path, needed: Fraction | None) -> Diagnostic:
    return Diagnostic(
        "E403", f"`{name}` comes from the task", path.span,
        f"the task has {needed}" if needed is not None else "set here too", help="leave it out",
    )  # fmt: skip
