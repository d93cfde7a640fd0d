"""From a plan to the checked architecture: the arch's lines, the stem, the stages, the head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from archdsl.diagnostics import Span
from archdsl.graph.architecture import Architecture, Stage, Values
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.ends import Ends
from archdsl.graph.elaboration.evaluate import value_of
from archdsl.graph.elaboration.frames import Frame, frame_of
from archdsl.graph.elaboration.openings import Journey
from archdsl.graph.elaboration.overrides import apply
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.requires import require, values_in
from archdsl.graph.elaboration.scopes import Cell
from archdsl.graph.elaboration.stages import stage_of, values
from archdsl.graph.elaboration.taken import Taken, look_at_all
from archdsl.graph.elaboration.texts import cell_text
from archdsl.graph.elaboration.variants import Plan
from archdsl.graph.node import Node, Origin, total_params

MAX_PARAMETERS = 10**12
"""Of one architecture."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An arch with its values in place and looked at.

    Args:
        frame: its cells.
        undecided: requirements that could not be judged, each with the places of the values it looks at. A
            value that is wrong by itself is told of by whoever takes it.
    """

    frame: Frame
    undecided: tuple[tuple[SpecError, frozenset[Span]], ...]

    def judge(self, report: Report) -> None:
        """Tells of requirements that can't be judged though all they look at is right."""
        for without_value, given in self.undecided:
            if not any(d.span in given for d in report.diagnostics):
                report.add(*without_value.diagnostics)


def prepared(plan: Plan, report: Report) -> Prepared | None:
    """The values of an arch, put in their places; None where some are missing. Mistakes go to the report."""
    frame = frame_of(plan, report)
    apply(frame, report)
    report.shapes = True
    missing = [c for c in frame.body.names.values() if c.kind == "parameter" and c.expr is None]
    if missing:
        report.add(*_missing(plan, missing).diagnostics)
        return None
    for cell in frame.body.names.values():
        with report.guard():
            value_of(cell)
    undecided: list[tuple[SpecError, frozenset[Span]]] = []
    for line, scope in frame.requires:
        with report.guard():
            try:
                require(line, scope, plan.name)
            except SpecError as error:
                if error.diagnostics[0].code != "E215":
                    raise
                undecided.append((error, frozenset(values_in(line, scope))))
    return Prepared(frame, tuple(undecided))


def elaborate(plan: Plan, report: Report, builder: Builder, taken: Taken) -> Architecture | None:
    """The architecture of a plan; None where something is wrong, which the report then tells."""
    before = report.faults
    start = prepared(plan, report)
    if start is None:
        return None
    built = _Elaboration(start.frame, report, builder)
    built.run()
    start.judge(report)
    look_at_all(taken, start.frame, built.wanted, failed=report.faults > before)
    report.shapes = True
    if report.faults > before:
        return None
    return architecture(built.ends, built.stages, built.head)


def _missing(plan: Plan, cells: list[Cell]) -> SpecError:
    these = " and ".join(f"`{c.name}`" for c in cells)
    return mistake(
        "E203", f"`{plan.arch.name}` needs {these}", plan.span, f"{these} not given",
        help=f"give it: `{plan.arch.name}({cells[0].name} = ...)`, or write a default",
    )  # fmt: skip


class _Elaboration:
    """Builds the parts of one architecture in order."""

    def __init__(self, frame: Frame, report: Report, builder: Builder) -> None:
        self.frame = frame
        self.report = report
        self.builder = builder
        self.ends = Ends(frame, report, builder)
        self.stages: list[Stage] = []
        self.head: Node | None = None
        self.wanted: dict[str, set[str]] = {"": self.ends.wanted}

    def run(self) -> None:
        """Everything that can be built; mistakes go to the report."""
        ends, builder, report = self.ends, self.builder, self.report
        ends.slots()
        builder.begin()
        journey = Journey(ends.image)
        x = ends.build_stem(journey)
        for number, stage in enumerate(self.frame.stages):
            faults = report.faults
            built, x, wanted = stage_of(self.frame, stage, number == 0, x, builder, report, journey)
            if built is not None:
                self.stages.append(built)
            if report.faults == faults:
                self.wanted[stage.tree.name] = wanted
            if builder.full:
                return
        if not self.frame.stages:
            report.add(*ends.lacks_stages().diagnostics)
        self.head = ends.head(x, report)
        with report.guard():
            self._bounded()

    def _bounded(self) -> None:
        inside = (n for s in self.stages for n in (s.downsample, *s.blocks, s.feature_norm))
        tops = [self.ends.stem, self.head, *inside]
        copies = Counter(id(n) for n in tops if n is not None)
        nodes = {id(n): n for n in tops if n is not None}
        refuse_too_many(
            sum(total_params([nodes[key]]) * n for key, n in copies.items()), self.frame.plan.arch.name_span
        )


def refuse_too_many(parameters: int, span: Span) -> None:
    """Raises:
    SpecError: E310 for more than `MAX_PARAMETERS`.
    """
    if parameters > MAX_PARAMETERS:
        raise mistake(
            "E310", "the architecture is too large", span, f"{parameters:,} parameters",
            help=f"have at most {MAX_PARAMETERS:,}",
        )  # fmt: skip


def architecture(ends: Ends, stages: Iterable[Stage], head: Node | None) -> Architecture:
    """What was built, where nothing was wrong."""
    frame = ends.frame
    if ends.stem is None:
        raise LookupError("an architecture without a stem")
    parameters: Values = tuple(
        (c.name, cell_text(c), Origin(c.origin, c.span))
        for c in frame.body.names.values()
        if c.kind == "parameter"
    )
    return Architecture(
        frame.plan.name, ends.image, ends.channels, ends.classes, ends.stem, tuple(stages), head, ends.init,
        ends.drop_path, parameters, values(frame.body),
    )  # fmt: skip
