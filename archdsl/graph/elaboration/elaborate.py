"""From a plan to the checked architecture: the arch's lines, the stem, the stages, the head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from archdsl.diagnostics import Diagnostic, Span
from archdsl.features import Feature
from archdsl.graph.architecture import Architecture, Stage, Values
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.evaluate import value_of
from archdsl.graph.elaboration.frames import ARCH_SLOTS, STAGE_SLOTS, Frame, constant, frame_of
from archdsl.graph.elaboration.overrides import apply, untaken
from archdsl.graph.elaboration.pieces import Nodes, chain
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.requires import require, values_in
from archdsl.graph.elaboration.scopes import Body, Cell
from archdsl.graph.elaboration.site import Site
from archdsl.graph.elaboration.slots import image, rate, recipe, size, width
from archdsl.graph.elaboration.stages import Journey, ambient_cells, stage_of, values
from archdsl.graph.elaboration.static import names_in, parameters_in_sight
from archdsl.graph.elaboration.texts import cell_text
from archdsl.graph.elaboration.variants import Plan
from archdsl.graph.node import Node, Origin, total_params
from archdsl.graph.recipes import DEFAULT_INIT
from archdsl.ops._types import MAX_COUNT, MAX_WIDTH

MAX_PARAMETERS = 10**12


@dataclass(slots=True)
class Taken:
    """Which settings found a taker, over all architectures that one check looks at.

    Args:
        nobody: what is wrong where nobody takes a setting, by the place of the setting.
        taken: places of settings that somebody takes.
    """

    nobody: dict[tuple[str, int, int], Diagnostic] = field(default_factory=dict)
    taken: set[tuple[str, int, int]] = field(default_factory=set)

    def mistakes(self) -> Iterable[Diagnostic]:
        """Settings that no architecture takes."""
        return (d for place, d in self.nobody.items() if place not in self.taken)


def elaborate(plan: Plan, report: Report, builder: Builder, taken: Taken) -> Architecture | None:
    """The architecture of a plan; None where something is wrong, which the report then tells."""
    before = report.faults
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
    undecided: list[tuple[SpecError, set[Span]]] = []
    for line, scope in frame.requires:
        with report.guard():
            try:
                require(line, scope, plan.name)
            except SpecError as error:
                if error.diagnostics[0].code != "E215":
                    raise
                undecided.append((error, set(values_in(line, scope))))
    built = _Elaboration(frame, report, builder).run()
    for without_value, given in undecided:  # a value that is wrong by itself was told of by whoever takes it
        if not any(d.span in given for d in report.diagnostics):
            report.add(*without_value.diagnostics)
    _untaken(frame, built.wanted, taken, failed=report.faults > before)
    report.shapes = True
    if report.faults > before:
        return None
    return built.architecture()


def _missing(plan: Plan, cells: list[Cell]) -> SpecError:
    these = " and ".join(f"`{c.name}`" for c in cells)
    return mistake(
        "E203", f"`{plan.arch.name}` needs {these}", plan.span, f"{these} not given",
        help=f"give it: `{plan.arch.name}({cells[0].name} = ...)`, or write a default",
    )  # fmt: skip


def _untaken(frame: Frame, wanted: dict[str, set[str]], taken: Taken, *, failed: bool) -> None:
    """Finds the settings that nobody takes; where something failed, only those that nobody could take."""
    parameters = [p.name for p in frame.plan.arch.parameters]
    possible: set[str] | None = None
    everywhere = set().union(*wanted.values()) if wanted else set()
    owners: list[tuple[str, Body, bool, set[str]]] = [(frame.plan.arch.name, frame.body, False, everywhere)]
    owners += [(s.tree.name, s.body, True, wanted.get(s.tree.name, set())) for s in frame.stages]
    for owner, body, stage, near in owners:
        for cell in body.names.values():
            if cell.kind != "setting" or cell.name in (STAGE_SLOTS if stage else ARCH_SLOTS):
                continue
            if cell.name_span is None:
                continue
            place = (cell.name_span.source.name, cell.name_span.line, cell.name_span.column)
            unsure = failed and not (stage and owner in wanted)
            if unsure and possible is None:
                possible = parameters_in_sight(frame.scope) | names_in(frame.plan.arch)
            if cell.used or cell.name in near or (unsure and possible is not None and cell.name in possible):
                taken.taken.add(place)
            else:
                found = untaken(cell, owner, stage, near, parameters)
                taken.nobody.setdefault(place, found.diagnostics[0])


class _Elaboration:
    """Builds the parts of one architecture in order."""

    def __init__(self, frame: Frame, report: Report, builder: Builder) -> None:
        self.frame = frame
        self.report = report
        self.builder = builder
        self.span = frame.plan.arch.name_span
        self.wanted: dict[str, set[str]] = {}
        self.image = (224, 224)
        self.channels = 3
        self.classes = 1000
        self.stem: Node | None = None
        self.stages: list[Stage] = []
        self.head: Node | None = None
        self.init = DEFAULT_INIT
        self.drop_path = 0.0

    def run(self) -> _Elaboration:
        """Everything that can be built; mistakes go to the report."""
        self._slots()
        builder = self.builder
        builder.begin()
        journey = Journey(self.image)
        x = self._stem(journey)
        for number, stage in enumerate(self.frame.stages):
            faults = self.report.faults
            built, x, wanted = stage_of(self.frame, stage, number == 0, x, builder, self.report, journey)
            if built is not None:
                self.stages.append(built)
            if self.report.faults == faults:
                self.wanted[stage.tree.name] = wanted
            if builder.full:
                return self
        if not self.frame.stages:
            self._lacks("stage", "write `stage s1 { blocks = 2 x scan }`")
        self._head(x)
        self._bounded()
        return self

    def architecture(self) -> Architecture:
        """What was built, where nothing was wrong."""
        frame = self.frame
        if self.stem is None:
            raise LookupError("an architecture without a stem")
        parameters: Values = tuple(
            (c.name, cell_text(c), Origin(c.origin, c.span))
            for c in frame.body.names.values()
            if c.kind == "parameter"
        )
        return Architecture(
            frame.plan.name, self.image, self.channels, self.classes, self.stem, tuple(self.stages),
            self.head, self.init, self.drop_path, parameters, values(frame.body),
        )  # fmt: skip

    def _slot(self, name: str) -> Cell | None:
        return self.frame.body.names.get(name) or self.frame.predefined.names.get(name)

    def _slots(self) -> None:
        def cell(name: str) -> Cell:
            found = self._slot(name)
            if found is None:
                raise LookupError(name)
            return found

        with self.report.guard():
            self.image = image(cell("image"), self.span)
        with self.report.guard():
            self.channels = size(cell("channels"), self.span, 1, MAX_WIDTH, "the number of channels")
        with self.report.guard():
            self.classes = 0  # where it is wrong, there is no head to judge
            self.classes = size(cell("classes"), self.span, 0, MAX_COUNT, "the number of classes")
        with self.report.guard():
            if (init := self._slot("init")) is not None:
                self.init = recipe(init, self.span)
        with self.report.guard():
            if (drop_path := self._slot("drop_path")) is not None:
                self.drop_path = rate(drop_path, self.span)

    def _site(self, dim: int, like: Cell | None) -> Site:
        ambient = ambient_cells(self.frame, None)
        ambient["dim"] = constant("dim", Fraction(dim), "ambient", like)
        return Site(ambient, (self.frame.body, self.frame.predefined), key=self.frame.plan.keys.get(""))

    def _lacks(self, slot: str, help: str) -> None:
        name = self.frame.plan.arch.name
        label = f"`{slot}` is missing"
        self.report.add(
            *mistake("E217", f"the arch `{name}` has no {slot}", self.span, label, help=help).diagnostics
        )

    def _stem(self, journey: Journey) -> Feature:
        h, w = self.image
        x = Feature(self.channels, (h, w))
        before = self.report.faults
        slot = self.frame.body.names.get("stem")
        dim_cell = self.frame.body.names.get("dim")
        dim = x.dim
        if slot is None:
            self._lacks("stem", "write `stem = patch_embed(16, dim)`")
        else:
            with self.report.guard():
                dim = width(dim_cell, self.span) if dim_cell is not None else dim
                site = self._site(dim, dim_cell)
                site.wanted.update(self.wanted.get("", ()))
                self.wanted[""] = site.wanted
                nodes = self.builder.top(*slot.text(), x, site)
                self.stem = top_node(nodes, x, "stem")
                journey.stem = self.stem.output.grid
                return self.stem.output
        if self.report.faults == before:
            return x
        self.report.shapes = False
        journey.stem = ()
        return Feature(dim, (max(1, h // 4), max(1, w // 4)))

    def _head(self, x: Feature) -> None:
        slot = self.frame.body.names.get("head")
        if slot is None:
            self._lacks("head", "write `head = norm -> pool(mean) -> linear(classes)`, or `head = none`")
            return
        if self.classes == 0:
            return
        with self.report.guard():
            if value_of(slot) is None:
                return
            expr, scope = slot.text()
            dim = self.frame.stages[-1].body.names.get("dim") if self.frame.stages else None
            site = self._site(x.dim, dim or self.frame.body.names.get("dim"))
            came = f"the head receives {x}"
            site = replace(site, size=came, width=came)
            nodes = self.builder.top(expr, scope, x, site)
            self.wanted.setdefault("", set()).update(site.wanted)
            self.head = top_node(nodes, x, "head")
            self._ends_at_classes(self.head.output, expr.span)

    def _ends_at_classes(self, y: Feature, span: Span) -> None:
        if y.grid == () and not y.extras and y.dim == self.classes:
            return
        if len(y.grid) == 1 and not y.extras:
            step = "make one vector of the tokens first: `concat`, `pool(mean)`"
        elif y.grid != () or y.extras:
            step = "pool or take one token first: `pool(mean)`, `take(class_token)`"
        else:
            step = "end with `linear(classes)`"
        raise mistake(
            "E309", "the head does not end at the classes", span,
            f"returns {y}; a vector of {self.classes} is expected", help=step,
        )  # fmt: skip

    def _bounded(self) -> None:
        inside = (n for s in self.stages for n in (s.downsample, *s.blocks, s.feature_norm))
        tops = [self.stem, self.head, *inside]
        copies = Counter(id(n) for n in tops if n is not None)
        nodes = {id(n): n for n in tops if n is not None}
        total = sum(total_params([nodes[key]]) * n for key, n in copies.items())
        if total > MAX_PARAMETERS:
            self.report.add(
                *mistake(
                    "E310",
                    "the architecture is too large",
                    self.span,
                    f"{total:,} parameters",
                    help=f"have at most {MAX_PARAMETERS:,}",
                ).diagnostics
            )


def top_node(nodes: Nodes, x: Feature, name: str) -> Node:
    """The nodes of a stem or a head as one chain, a definition's chain as it is."""
    if len(nodes) == 1 and nodes[0].op.name == "chain":
        return nodes[0]
    return chain(nodes, x, name)
