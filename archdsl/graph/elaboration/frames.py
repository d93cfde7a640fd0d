"""The bodies of an arch and its stages as cells, with the values that variants and overrides put there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

from archdsl.diagnostics import Source, Span
from archdsl.graph.elaboration.files import Unit, defined_twice, prelude
from archdsl.graph.elaboration.report import Report, mistake
from archdsl.graph.elaboration.scopes import END, Body, Cell, Scope, Value
from archdsl.graph.elaboration.variants import Given, Plan
from archdsl.lang import parse_expression
from archdsl.lang import tree as t

ARCH_SLOTS = (
    "stem", "downsample", "norm", "act", "head", "init", "eps", "drop_path",
    "image", "classes", "channels", "layer_scale", "feature_norm",
)  # fmt: skip
STAGE_SLOTS = ("dim", "blocks", "within", "downsample", "feature_norm")
HIDDEN_BY_PARAMETERS = frozenset(
    {"stem", "head", "downsample", "norm", "feature_norm", "init", "image", "classes", "channels"}
)
"""Slots whose names a parameter of an arch may not carry."""
DEFAULT_IMAGE = 224
DEFAULT_CHANNELS = 3
DEFAULT_CLASSES = 1000
_VISIBLE = {"norm": "layer_norm", "act": "gelu"}


@dataclass(slots=True, eq=False)
class StageFrame:
    """A stage before it is built.

    Args:
        tree: its definition.
        body: its cells.
        scope: what a text at its end sees.
        requires: its `require` lines with what each sees.
        edits: values for single blocks, with the index and, for an argument, the parameter.
    """

    tree: t.StageDef
    body: Body
    scope: Scope
    requires: list[tuple[t.Require, Scope]] = field(default_factory=list)
    edits: list[tuple[int, str | None, Given, Cell]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Frame:
    """An arch before it is built.

    Args:
        plan: what it comes from.
        predefined: `image`, `classes`, `channels` and the default slots.
        body: parameters, settings and lets.
        scope: what a text at its end sees.
        stages: in order.
        requires: its `require` lines with what each sees.
    """

    plan: Plan
    predefined: Body
    body: Body
    scope: Scope
    stages: list[StageFrame] = field(default_factory=list)
    requires: list[tuple[t.Require, Scope]] = field(default_factory=list)

    def cells(self) -> Iterator[Cell]:
        """Parameters, settings and lets of the arch and of its stages, in order."""
        yield from self.body.names.values()
        for stage in self.stages:
            yield from stage.body.names.values()

    def stage(self, name: str) -> StageFrame | None:
        """The stage of that name."""
        return next((s for s in self.stages if s.tree.name == name), None)


def frame_of(plan: Plan, report: Report) -> Frame:
    """The cells of an arch, as its text gives them; values from outside are put in later."""
    unit = plan.unit
    predefined = Body(_predefined(), Scope((unit,)))
    body = Body({}, Scope((unit,), predefined, open=True))
    frame = Frame(plan, predefined, body, Scope((unit,), body, open=True))
    for number, p in enumerate(plan.arch.parameters):
        if p.name in HIDDEN_BY_PARAMETERS:
            report.add(
                *mistake(
                    "E214",
                    f"the parameter `{p.name}` hides the slot `{p.name}`",
                    p.span,
                    "a slot's name",
                    help=f"rename it; `{p.name}` is set by variants and --set without being a parameter",
                ).diagnostics
            )
            if any(isinstance(s, t.Setting) and s.name == p.name for s in plan.arch.body):
                continue  # the slot's own value stands
        if p.name in body.names:
            report.add(*defined_twice(p.name, p.span, body.names[p.name].name_span).diagnostics)
            continue
        scope = Scope((unit,), body, number, open=True)
        body.names[p.name] = Cell(p.name, "parameter", "default", p.default, scope, number, p.span)
    for line, statement in enumerate(plan.arch.body, len(plan.arch.parameters)):
        scope = Scope((unit,), body, line, open=True)
        if isinstance(statement, t.StageDef):
            if (first := frame.stage(statement.name)) is not None:
                report.add(
                    *defined_twice(statement.name, statement.name_span, first.tree.name_span).diagnostics
                )
                continue
            frame.stages.append(_stage(statement, scope, unit, report))
        elif isinstance(statement, t.Require):
            frame.requires.append((statement, scope))
        else:
            _line(body, statement, scope, line, "arch", report)
    return frame


def again(frame: Frame, stage: StageFrame) -> StageFrame:
    """A stage as its text gives it, next to one with values from outside."""
    outer = stage.body.parent or frame.scope
    return _stage(stage.tree, outer, frame.plan.unit, Report())


def _stage(tree: t.StageDef, outer: Scope, unit: Unit, report: Report) -> StageFrame:
    body = Body({}, outer)
    frame = StageFrame(tree, body, Scope((unit,), body, open=True))
    for line, statement in enumerate(tree.body):
        scope = Scope((unit,), body, line, open=True)
        if isinstance(statement, t.Require):
            frame.requires.append((statement, scope))
        else:
            _line(body, statement, scope, line, "stage", report)
    return frame


def _line(
    body: Body, line: t.Setting | t.Let, scope: Scope, position: int, origin: str, report: Report
) -> None:
    if (first := body.names.get(line.name)) is not None:
        report.add(*defined_twice(line.name, line.name_span, first.name_span).diagnostics)
        return
    kind = "let" if isinstance(line, t.Let) else "setting"
    body.names[line.name] = Cell(line.name, kind, origin, line.value, scope, position, line.name_span)


def _predefined() -> dict[str, Cell]:
    numbers = {"image": DEFAULT_IMAGE, "classes": DEFAULT_CLASSES, "channels": DEFAULT_CHANNELS}
    cells = {name: constant(name, Fraction(value)) for name, value in numbers.items()}
    for name, expr in _visible().items():
        cells[name] = Cell(name, "predefined", "default", expr, Scope((prelude(),)))
    return cells


@cache
def _visible() -> dict[str, t.Expr]:
    return {name: parse_expression(Source(f"<{name}>", text)) for name, text in _VISIBLE.items()}


def constant(name: str, value: Value, origin: str = "default", like: Cell | None = None) -> Cell:
    """A cell with a known value; mistakes point at the text of `like`."""
    cell = Cell(name, "predefined", origin, value=value)
    if like is not None:
        cell.expr, cell.scope, cell.name_span = like.expr, like.scope, like.name_span
    return cell


def put(body: Body, name: str, given: Given, span: Span, origin: str, scope: Scope) -> None:
    """Puts a value in the place of a setting's, or adds the setting.

    The value is read as if it stood there: it sees what that line sees, then the files of both.
    """
    old = body.names.get(name)
    place = place_of(body, name, given.writer, scope)
    new = Cell(name, "setting", origin, given.expr, place, -1 if old is None else old.position, span)
    new.override = old is None or old.override
    body.names[name] = new


def place_of(body: Body, name: str, writer: Unit, scope: Scope) -> Scope:
    """What a value sees that is put in the place of a setting's.

    Args:
        body: of the setting.
        name: of the setting.
        writer: the file that gives the value.
        scope: what a text at the end of the body sees.
    """
    old = body.names.get(name)
    position = old.position if old is not None and old.position >= 0 else END
    units = (writer, *(u for u in scope.units if u is not writer))
    return Scope(units, body, position, open=True, hidden=name)


def put_parameter(body: Body, name: str, given: Given) -> None:
    """Gives an arch parameter a value, read in the writer's file."""
    old = body.names[name]
    scope = Scope((given.writer,), open=True)
    body.names[name] = Cell(name, "parameter", "given", given.expr, scope, old.position, given.path.span)
