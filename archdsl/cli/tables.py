"""Tables on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from archdsl.cli.report import coloured
from archdsl.graph.cost import Cost
from archdsl.graph.summary import StageRow, grid_text, short

PIPE_WIDTH = 160
"""Columns where the output is no terminal."""


class Screen(Console):
    """A console that leaves it to the command line what happens when its reader goes away."""

    def on_broken_pipe(self) -> None:
        """Raises again what rich caught."""
        raise BrokenPipeError


def console(to_stderr: bool = False) -> Console:
    """A rich console that follows the same rules about colour as the diagnostics."""
    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    paint = coloured(stream)
    return Screen(file=stream, width=width, no_color=not paint, force_terminal=paint or None, highlight=False)


def stage_table(
    rows: Sequence[StageRow], total: Cost, extra: Sequence[tuple[str, Sequence[str], str]] = ()
) -> Table:
    """The table of stages with totals.

    Args:
        rows: stem, stages, head.
        total: of the whole.
        extra: further columns: heading, a cell for each row, the cell of the totals.
    """
    scans = total.macs.scan > 0
    table = Table(
        box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False, header_style="bold", footer_style="bold"
    )
    table.add_column("stage", footer="total", style="cyan", no_wrap=True)
    table.add_column("blocks", overflow="fold")
    table.add_column("grid", justify="right", no_wrap=True)
    table.add_column("dim", justify="right", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("params", footer=f"{total.params:,}", justify="right", no_wrap=True)
    table.add_column("MACs", footer=short(total.macs.total), justify="right", no_wrap=True)
    if scans:
        table.add_column("scan MACs", footer=short(total.macs.scan), justify="right", no_wrap=True)
    for heading, _, footer in extra:
        table.add_column(heading, footer=footer, justify="left" if heading == "kernel" else "right")
    for index, row in enumerate(rows):
        x = row.output
        cells = [
            row.name,
            row.blocks,
            grid_text(x),
            str(x.dim),
            f"{x.tokens:,}",
            f"{row.params:,}",
            short(row.macs.total),
            *([short(row.macs.scan) if row.macs.scan else "-"] if scans else []),
            *(values[index] for _, values, _ in extra),
        ]
        table.add_row(*cells)
    return table
