"""Stages: what opens them, their blocks, the norm of their maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from archdsl.features import Feature
from archdsl.graph.architecture import Stage, Values
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.evaluate import value_of
from archdsl.graph.elaboration.frames import Frame, StageFrame
from archdsl.graph.elaboration.openings import Journey, Opened, open_stage
from archdsl.graph.elaboration.pieces import chain
from archdsl.graph.elaboration.places import not_a_network
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.scopes import Blocks, Body, Cell, Part, Scope, Value
from archdsl.graph.elaboration.texts import cell_text
from archdsl.graph.node import Node, Origin
from archdsl.lang import tree as t


def stage_of(
    frame: Frame,
    stage: StageFrame,
    first: bool,
    x: Feature,
    builder: Builder,
    report: Report,
    journey: Journey,
) -> tuple[Stage | None, Feature, set[str]]:
    """Builds one stage behind `x`.

    Returns:
        The stage, None where something in it is wrong; what leaves it, as well as that can be told; and the
        names that its calls left out.
    """
    faults = report.faults
    key = frame.plan.keys.get(stage.tree.name)
    opened = open_stage(frame, stage, first, x, builder, report, journey, key)
    blocks = tuple(blocks_of(stage, opened, builder, report))
    norm: Node | None = None
    with report.guard():
        norm = feature_norm(frame, stage, opened, builder)
    if report.faults > faults:
        return None, opened.output, opened.site.wanted
    built = Stage(
        stage.tree.name, x, opened.output, blocks, opened.downsample, opened.within, norm,
        values(stage.body), stage.tree.name_span,
    )  # fmt: skip
    return built, opened.output, opened.site.wanted


def feature_norm(frame: Frame, stage: StageFrame, opened: Opened, builder: Builder) -> Node | None:
    """The norm of the maps taken behind the stage: its own, else the arch's.

    Raises:
        SpecError: with what is wrong with it.
    """
    x, site = opened.output, opened.site
    slot = stage.body.names.get("feature_norm") or frame.body.names.get("feature_norm")
    if slot is None:
        return None
    slot.used = True
    expr, scope = slot.text()
    nodes = builder.top(expr, scope, x, site)
    if not nodes:
        return None
    node = nodes[0] if len(nodes) == 1 else chain(nodes, x, "feature_norm")
    if node.output != x:
        raise site.told(
            mistake(
                "E307", "`feature_norm` changes the shape", expr.span,
                f"receives {x}, returns {node.output}",
                help="a norm of feature maps keeps the shape: `layer_norm`, `rms_norm`, `batch_norm`",
            )
        )  # fmt: skip
    return node


def blocks_of(stage: StageFrame, opened: Opened, builder: Builder, report: Report) -> Iterator[Node]:
    """The blocks of a stage; mistakes go to the report."""
    with report.guard():
        yield from in_place(_parts(stage, report), opened, builder, report)


def in_place(parts: Iterable[Part], opened: Opened, builder: Builder, report: Report) -> Iterator[Node]:
    """Blocks behind what opens their stage; mistakes go to the report."""
    for part in parts:
        if builder.full:
            break
        with report.guard():
            node = builder.block(part, opened.inner, opened.site)
            if node.output != opened.inner:
                raise opened.site.told(_changes_shape(part, node))
            yield node


def parts_in(value: Value, expr: t.Expr, scope: Scope) -> tuple[Part, ...]:
    """The blocks that a value of `blocks` means, one behind the other.

    Args:
        value: of the text.
        expr: the text.
        scope: what it sees.

    Raises:
        SpecError: where it means no blocks.
    """
    if isinstance(value, Part):
        return (value,)
    if value is None:
        return ()
    if not isinstance(value, Blocks):
        raise not_a_network(value, expr, scope)
    return value.parts


def _parts(stage: StageFrame, report: Report) -> tuple[Part, ...]:
    cell = stage.body.names.get("blocks")
    if cell is None:
        raise mistake(
            "E217", f"the stage `{stage.tree.name}` has no blocks", stage.tree.name_span,
            "`blocks` is missing",
            help="write `blocks = 2 x scan`",
        )  # fmt: skip
    cell.used = True
    parts = list(parts_in(value_of(cell), *cell.text()))
    for index, parameter, given, edit in stage.edits:
        with report.guard():
            if not -len(parts) <= index < len(parts):
                raise mistake(
                    "E211", f"unknown path `{given.path}`", edit.name_span, f"no block {index}",
                    help=f"`{stage.tree.name}` has {len(parts)} blocks, counted from 0",
                )  # fmt: skip
            parts[index] = _edited(parts[index], parameter, edit, stage.tree.name)
    return tuple(parts)


def _edited(part: Part, parameter: str | None, edit: Cell, name: str) -> Part:
    if parameter is not None:
        value_of(edit)
        return replace(part, given=(*part.given, edit))
    expr, scope = edit.text()
    value = value_of(edit)
    if isinstance(value, Blocks) and len(value.parts) == 1:
        value = value.parts[0]
    if isinstance(value, Blocks):
        raise mistake(
            "E205", "expected one block", expr.span, f"found {len(value.parts)}",
            help=f"to put several there, write `{name}.blocks = ...`",
        )  # fmt: skip
    if not isinstance(value, Part):
        raise not_a_network(value, expr, scope)
    return value


def _changes_shape(part: Part, node: Node) -> SpecError:
    return mistake(
        "E307", f"the block `{node.name}` changes the shape", part.expr.span,
        f"receives {node.input}, returns {node.output}",
        help="blocks keep the shape; change it in `downsample`",
    )  # fmt: skip


def values(body: Body) -> Values:
    """Settings of a body with their values as text."""
    return tuple(
        (c.name, cell_text(c), Origin(c.origin if not c.override else "given", c.span))
        for c in body.names.values()
        if c.kind == "setting"
    )
