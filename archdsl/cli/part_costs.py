"""What the parts of one architecture cost: operations by class, memory, sequences, bounds on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from archdsl.cli.tables import Spared, fitting
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.cost import Cost, CostRow
from archdsl.graph.devices import devices
from archdsl.graph.memory.keeping import checkpointed
from archdsl.graph.memory.training import Tracing
from archdsl.graph.roofline import LIMITS, Roofline, roofline
from archdsl.graph.views.summary import short, size_text


@dataclass(frozen=True, slots=True)
class Run:
    """What a bound is asked for.

    Args:
        device, dtype, batch: see `archdsl.graph.roofline.roofline`.
    """

    device: str
    dtype: str
    batch: int

    def bound(self, architecture: Architecture) -> Roofline:
        """That of an architecture."""
        return roofline(architecture, self.device, dtype=self.dtype, batch=self.batch)


def print_parts(out: Console, architecture: Architecture, total: Cost) -> None:
    """Prints for every stage MACs by class but for scans, memory, and whether its sequence is long."""
    rows: tuple[CostRow | Cost, ...] = (*total.stages, total)
    stages = {stage.name: stage for stage in architecture.stages}
    columns = [
        Spared("linear", [_nonzero(row.macs.linear) for row in rows], 3),
        Spared("conv", [_nonzero(row.macs.conv) for row in rows], 3),
        Spared("attention", [_nonzero(row.macs.attention) for row in rows], 3),
        Spared("training", [size_text(row.saved.of(1)) for row in rows], 1),
        Spared("inference", [size_text(row.peak_bytes) for row in rows]),
        Spared("weights", [size_text(row.kept.size()) for row in rows]),
        Spared("L > 6D", [*(_length(stages.get(row.path)) for row in total.stages), ""], 2),
    ]
    missing = _print(out, [row.path for row in total.stages], columns)
    again = checkpointed(architecture, Tracing())
    kept, most = size_text(again.kept.of(1)), size_text(again.peak(1))
    told = [
        "memory of one image at float32; L: tokens, D: channels; docs/costs.md has the definitions",
        f"training with a checkpoint at every block keeps {kept}, at most {most} in the backward",
    ]
    if missing:
        told.append(f"too narrow for: {', '.join(missing)}")
    for line in told:
        out.print(line, style="dim")


def print_bound(out: Console, found: Roofline) -> None:
    """Prints what a device needs at least for every stage, and what for."""
    rows = (*found.stages, found.total)
    columns = [Spared("at least", [time_text(row.seconds) for row in rows])]
    for limit in LIMITS:
        seconds = [float(getattr(row, limit)) for row in rows]
        columns.append(Spared(limit, [time_text(s) if s else "" for s in seconds], 1))
    images = f"{found.batch} image{'s' if found.batch > 1 else ''}"
    out.print(
        f"[bold]{found.device}[/]  {devices()[found.device].name}, {found.dtype}, {images}", highlight=False
    )
    missing = _print(out, [row.path for row in found.stages], columns)
    out.print("a bound, no prediction: every operator at the peak rate of what it waits for", style="dim")
    if missing:
        out.print(f"too narrow for: {', '.join(missing)}", style="dim")


def time_text(seconds: float) -> str:
    """`12.3 ms`."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}"
    return ""


def _print(out: Console, names: Sequence[str], columns: Sequence[Spared]) -> list[str]:
    """Prints a table whose last row are the totals; the headings for which there was no room."""
    columns = [column for column in columns if any(map(str, column.cells))]
    width = max(len("total"), *map(len, names))
    gap, kept = fitting(columns, width, width, out.width)
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, gap),
        pad_edge=False,
        show_footer=True,
        header_style="bold",
        footer_style="bold",
    )
    table.add_column("stage", footer="total", style="cyan", overflow="fold")
    for column in kept:
        table.add_column(column.heading, footer=str(column.cells[-1]), justify="right", no_wrap=True)
    for name, *cells in zip(names, *(column.cells[:-1] for column in kept), strict=True):
        table.add_row(name, *cells)
    out.print(table)
    return [column.heading for column in columns if column not in kept]


def _length(stage: Stage | None) -> str:
    if stage is None:
        return ""
    return f"{stage.feature.tokens:,} {'>' if stage.is_long else '≤'} {stage.threshold:,}"


def _nonzero(count: int) -> str:
    return short(count) if count else ""
