"""What stands around the stages: the values of the arch's slots, the stem, the head."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from archdsl.diagnostics import Span
from archdsl.features import Feature
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.evaluate import value_of
from archdsl.graph.elaboration.frames import Frame, constant
from archdsl.graph.elaboration.openings import Journey, ambient_cells
from archdsl.graph.elaboration.pieces import Nodes, chain
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.scopes import Cell
from archdsl.graph.elaboration.site import Site
from archdsl.graph.elaboration.slots import image, rate, recipe, size, width
from archdsl.graph.node import Node
from archdsl.graph.recipes import DEFAULT_INIT
from archdsl.ops._types import MAX_COUNT, MAX_WIDTH


class Ends:
    """Builds what stands around the stages of an arch; mistakes go to the report.

    Attributes:
        frame: of the arch.
        image, channels, classes, init, drop_path: values of its slots, once read.
        stem: once built, where nothing in it is wrong.
        wanted: names that the calls of stem and head left out.
    """

    def __init__(self, frame: Frame, report: Report, builder: Builder) -> None:
        self.frame = frame
        self.report = report
        self.builder = builder
        self.span = frame.plan.arch.name_span
        self.image = (224, 224)
        self.channels = 3
        self.classes = 1000
        self.init = DEFAULT_INIT
        self.drop_path = 0.0
        self.stem: Node | None = None
        self.wanted: set[str] = set()

    def _slot(self, name: str) -> Cell | None:
        return self.frame.body.names.get(name) or self.frame.predefined.names.get(name)

    def slots(self) -> None:
        """Reads the values of the slots."""

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
        bodies = (self.frame.body, self.frame.predefined)
        return Site(ambient, bodies, wanted=self.wanted, key=self.frame.plan.keys.get(""))

    def _lacks(self, slot: str, help: str) -> SpecError:
        name = self.frame.plan.arch.name
        label = f"`{slot}` is missing"
        return mistake("E217", f"the arch `{name}` has no {slot}", self.span, label, help=help)

    def lacks_stages(self) -> SpecError:
        """E217 for an arch without stages."""
        return self._lacks("stage", "write `stage s1 { blocks = 2 x scan }`")

    def build_stem(self, journey: Journey) -> Feature:
        """Builds the stem.

        Returns:
            What leaves it, as well as that can be told.
        """
        h, w = self.image
        x = Feature(self.channels, (h, w))
        before = self.report.faults
        slot = self.frame.body.names.get("stem")
        dim_cell = self.frame.body.names.get("dim")
        dim = x.dim
        if slot is None:
            self.report.add(*self._lacks("stem", "write `stem = patch_embed(16, dim)`").diagnostics)
        else:
            with self.report.guard():
                dim = width(dim_cell, self.span) if dim_cell is not None else dim
                site = self._site(dim, dim_cell)
                nodes = self.builder.top(*slot.text(), x, site)
                self.stem = top_node(nodes, x, "stem")
                journey.stem = self.stem.output.grid
                return self.stem.output
        if self.report.faults == before:
            return x
        self.report.shapes = False
        journey.stem = ()
        return Feature(dim, (max(1, h // 4), max(1, w // 4)))

    def head(self, x: Feature, report: Report) -> Node | None:
        """The head behind `x`; None where there is none. Mistakes go to the report."""
        slot = self.frame.body.names.get("head")
        with report.guard():
            if slot is None:
                step = "write `head = norm -> pool(mean) -> linear(classes)`, or `head = none`"
                raise self._lacks("head", step)
            if self.classes == 0 or value_of(slot) is None:
                return None
            expr, scope = slot.text()
            dim = self.frame.stages[-1].body.names.get("dim") if self.frame.stages else None
            came = f"the head receives {x}"
            site = self._site(x.dim, dim or self.frame.body.names.get("dim"))
            nodes = self.builder.top(expr, scope, x, replace(site, size=came, width=came))
            head = top_node(nodes, x, "head")
            self._ends_at_classes(head.output, expr.span)
            return head
        return None

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


def top_node(nodes: Nodes, x: Feature, name: str) -> Node:
    """The nodes of a stem or a head as one chain, a definition's chain as it is."""
    if len(nodes) == 1 and nodes[0].op.name == "chain":
        return nodes[0]
    return chain(nodes, x, name)
