"""What opens a stage: its values, its width, the change of map, the windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from archdsl.features import Feature
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.evaluate import value_of
from archdsl.graph.elaboration.frames import Frame, StageFrame, constant
from archdsl.graph.elaboration.operators import place, shape_mistake
from archdsl.graph.elaboration.pieces import chain
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.requires import require
from archdsl.graph.elaboration.scopes import AMBIENT, Body, Cell
from archdsl.graph.elaboration.site import Site
from archdsl.graph.elaboration.slots import width
from archdsl.graph.node import Node
from archdsl.ops import Op, ShapeError

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(slots=True)
class Journey:
    """How the feature came about so far, for notes: "224, stem / 4, two downsamples".

    Args:
        image: height and width.
        stem: the grid behind it.
        downsamples: how many stand before the stage.
        known: whether all of that is known.
    """

    image: tuple[int, int]
    stem: tuple[int, ...] = ()
    downsamples: int = 0
    known: bool = True

    def told(self, stage: str, x: Feature) -> str:
        """The note for a stage."""
        if not self.known:
            return f"{stage} receives {x.shape}"
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


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A stage before its blocks.

    Args:
        output: what leaves the stage, as well as that can be told.
        inner: what every block receives and returns.
        downsample: what stands before the blocks, if anything.
        within: the operator that cuts the stage into windows, if any.
        site: where its blocks are built.
    """

    output: Feature
    inner: Feature
    downsample: Node | None
    within: Op | None
    site: Site


def open_stage(
    frame: Frame,
    stage: StageFrame,
    first: bool,
    x: Feature,
    builder: Builder,
    report: Report,
    journey: Journey,
    key: object,
) -> Opened:
    """Everything of a stage behind `x` that does not depend on its blocks; mistakes go to the report.

    Args:
        frame: of the arch.
        stage: the stage.
        first: whether it is.
        x: what enters.
        builder: builds.
        report: for mistakes.
        journey: how `x` came about.
        key: of its site, see `Plan.keys`.
    """
    name = stage.tree.name
    dim_cell = stage.body.names.get("dim") or frame.body.names.get("dim")
    dim = x.dim
    if dim_cell is None:
        stage.body.names["dim"] = constant("dim", Fraction(dim), "ambient")
    for cell in stage.body.names.values():
        if cell.name != "blocks":
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
    site = Site(ambient, (stage.body, frame.body, frame.predefined), key=key)
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
    return Opened(x, inner, down, within, site)


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
