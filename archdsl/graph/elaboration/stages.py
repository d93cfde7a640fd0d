"""Stages: the change of map, the windows, the blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from archdsl.features import Feature
from archdsl.graph.architecture import Stage, Values
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.evaluate import value_of
from archdsl.graph.elaboration.frames import Frame, StageFrame, constant
from archdsl.graph.elaboration.operators import place, shape_mistake
from archdsl.graph.elaboration.pieces import chain
from archdsl.graph.elaboration.places import not_a_network
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.requires import require
from archdsl.graph.elaboration.scopes import AMBIENT, Blocks, Body, Cell, Part
from archdsl.graph.elaboration.site import Site
from archdsl.graph.elaboration.slots import width
from archdsl.graph.elaboration.texts import cell_text
from archdsl.graph.node import Node, Origin
from archdsl.ops import Op, ShapeError

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(slots=True)
class Journey:
    """How the feature came about so far, for notes: "224, stem / 4, two downsamples"."""

    image: tuple[int, int]
    stem: tuple[int, ...] = ()
    downsamples: int = 0

    def told(self, stage: str, x: Feature) -> str:
        """The note for a stage."""
        h, w = self.image
        words = [str(h) if h == w else f"{h} x {w}"]
        if len(self.stem) == 2:
            a, b = self.stem
            words.append(
                f"stem / {h // a}" if h % a == 0 and w % b == 0 and h // a == w // b else f"stem to {a} x {b}"
            )
        if self.downsamples:
            n = self.downsamples
            count = _COUNTS[n] if n < len(_COUNTS) else str(n)
            words.append(f"{count} downsample{'s' if n > 1 else ''}")
        return f"{stage} receives {x.shape}: {', '.join(words)}"


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
    name = stage.tree.name
    faults = report.faults
    dim_cell = stage.body.names.get("dim") or frame.body.names.get("dim")
    dim = x.dim
    if dim_cell is None:
        stage.body.names["dim"] = constant("dim", Fraction(dim), "ambient")
    for cell in stage.body.names.values():
        with report.guard():
            value_of(cell)
    for line, scope in stage.requires:
        with report.guard():
            require(line, scope, frame.plan.name)
    with report.guard():
        if dim_cell is not None:
            dim = width(dim_cell, stage.tree.name_span)
    ambient = ambient_cells(frame, stage.body)
    ambient["dim"] = constant("dim", Fraction(dim), "ambient", dim_cell)
    site = Site(ambient, (stage.body, frame.body, frame.predefined), key=frame.plan.keys.get(name))
    given = x
    down: Node | None = None
    own = stage.body.names.get("downsample")
    slot = own or (None if first else frame.body.names.get("downsample"))
    if slot is not None:
        slot.used = True
        site = replace(site, size=journey.told(name, x), width=f"{name} receives a width of {x.dim}")
        before = report.faults
        with report.guard():
            nodes = builder.top(*slot.text(), x, site)
            if nodes:
                down = nodes[0] if len(nodes) == 1 else chain(nodes, x, "downsample")
                x = down.output
                journey.downsamples += 1
        if report.faults > before:
            report.shapes = False
            x = Feature(dim, tuple(max(1, -(-g // 2)) for g in x.grid), x.extras)
    if x.dim != dim and report.shapes:
        report.add(*_widths_differ(stage, dim_cell, dim, x, down, first).diagnostics)
    if x.dim != dim:
        x = replace(x, dim=dim)
    site = replace(site, size=journey.told(name, x), width=f"{name} is {dim} wide")
    inner, within = x, None
    with report.guard():
        inner, within = _windows(stage, x, builder, site)
    blocks = tuple(_blocks(stage, inner, builder, site, report))
    norm: Node | None = None
    with report.guard():
        norm = _feature_norm(frame, stage, x, builder, site)
    if report.faults > faults:
        return None, x, site.wanted
    built = Stage(name, given, x, blocks, down, within, norm, values(stage.body), stage.tree.name_span)
    return built, x, site.wanted


def _widths_differ(
    stage: StageFrame, cell: Cell | None, dim: int, x: Feature, down: Node | None, first: bool
) -> SpecError:
    name = stage.tree.name
    span = stage.tree.name_span
    if "dim" in stage.body.names and cell is not None:
        span = place(cell, span) if cell.expr is None else cell.expr.span
    source = "the stem" if first else "its downsample" if down is not None else "the stage before"
    step = f"set `dim = {x.dim}`"
    if first:
        step += f", or let the stem end at {dim} channels"
    elif down is None:
        step += ", or give the arch a `downsample` that changes the width"
    else:
        step += f", or let it give {dim}: as `mixer down(dim) = ...` it sees the stage's `dim`"
    return mistake(
        "E301", f"widths do not fit in {name}", span, f"{dim} expected, {x.dim} given",
        notes=(f"{source} gives {x.dim} channels",), help=step,
    )  # fmt: skip


def _windows(stage: StageFrame, x: Feature, builder: Builder, site: Site) -> tuple[Feature, Op | None]:
    cell = stage.body.names.get("within")
    if cell is None:
        return x, None
    cell.used = True
    made = builder.windows(*cell.text(), site)
    if made is None:
        return x, None
    op, bound = made
    seen: list[Feature] = []

    def recorder(f: Feature) -> Feature:
        seen.append(f)
        return f

    try:
        op = op.resolved(x)
        op.infer(x, recorder)
    except ShapeError as error:
        raise site.told(shape_mistake(error, bound, cell.text()[0].span)) from None
    return (seen[0] if seen else x), op


def _feature_norm(frame: Frame, stage: StageFrame, x: Feature, builder: Builder, site: Site) -> Node | None:
    """The norm of the maps taken behind the stage: its own, else the arch's."""
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


def _blocks(stage: StageFrame, x: Feature, builder: Builder, site: Site, report: Report) -> Iterator[Node]:
    with report.guard():
        for part in _parts(stage, report):
            if builder.full:
                break
            with report.guard():
                node = builder.block(part, x, site)
                if node.output != x:
                    raise site.told(_changes_shape(part, node))
                yield node


def _parts(stage: StageFrame, report: Report) -> tuple[Part, ...]:
    cell = stage.body.names.get("blocks")
    if cell is None:
        raise mistake(
            "E217", f"the stage `{stage.tree.name}` has no blocks", stage.tree.name_span,
            "`blocks` is missing",
            help="write `blocks = 2 x scan`",
        )  # fmt: skip
    cell.used = True
    value = value_of(cell)
    if isinstance(value, Part):
        value = Blocks((value,))
    if value is None:
        value = Blocks(())
    if not isinstance(value, Blocks):
        raise not_a_network(value, *cell.text())
    parts = list(value.parts)
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


def ambient_cells(frame: Frame, stage: Body | None) -> dict[str, Cell]:
    """What reaches every depth, `dim` left out: from the stage, else from the arch."""
    out: dict[str, Cell] = {}
    for name in AMBIENT - {"dim"}:
        cell = (stage.names.get(name) if stage is not None else None) or frame.body.names.get(name)
        if cell is None:
            continue
        cell.used = True
        try:
            value = value_of(cell)
            if name == "drop_path" and not isinstance(value, Fraction):
                value = Fraction(0)
            out[name] = constant(name, value, "ambient", cell)
        except SpecError:
            continue  # told where the arch's cells are read
    return out


def values(body: Body) -> Values:
    """Settings of a body with their values as text."""
    return tuple(
        (c.name, cell_text(c), Origin(c.origin if not c.override else "given", c.span))
        for c in body.names.values()
        if c.kind == "setting"
    )
