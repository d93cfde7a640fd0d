"""Tables on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from archdsl.cli.messages import coloured
from archdsl.graph.cost import Cost
from archdsl.graph.views.summary import StageRow, grid_text, short

PIPE_WIDTH = 160
"""Columns where the output is no terminal."""
NARROW = 132
"""Under so many columns tables are denser."""
TINY = 64
"""Under so many columns tables hold only what no other line tells."""
LAST_TO_GO = 2
"""Columns that are spared sooner than these go before a name is broken."""


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


@dataclass(frozen=True, slots=True)
class Column:
    """A further column of the table of stages.

    Args:
        heading: its title.
        cells: one for each row.
        footer: the cell of the totals.
        wide: left out where the terminal is narrow.
        justify: `left` or `right`.
    """

    heading: str
    cells: Sequence[str]
    footer: str = ""
    wide: bool = False
    justify: Literal["left", "right"] = "right"


def stage_table(rows: Sequence[StageRow], total: Cost, width: int, extra: Sequence[Column] = ()) -> Table:
    """The table of stages with totals; denser, with rounded counts, where there is little room.

    In less than `TINY` columns only the grid, the counts and the times are left.

    Args:
        rows: stem, stages, head.
        total: of the whole.
        width: columns of the terminal.
        extra: further columns.
    """
    narrow, tiny = width < NARROW, width < TINY

    def count(number: int) -> str:
        return short(number) if narrow else f"{number:,}"

    columns = [Column("grid", [grid_text(row.output) for row in rows])]
    if not tiny:
        columns.append(Column("dim", [str(row.output.dim) for row in rows]))
        columns.append(Column("tokens", [f"{row.output.tokens:,}" for row in rows]))
    columns += [
        Column("params", [count(row.params) for row in rows], count(total.params)),
        Column("MACs", [short(row.macs.total) for row in rows], short(total.macs.total)),
    ]
    if total.macs.scan and not tiny:
        cells = [short(row.macs.scan) if row.macs.scan else "-" for row in rows]
        columns.append(Column("scans" if narrow else "scan MACs", cells, short(total.macs.scan)))
    columns += [column for column in extra if not (narrow and column.wide)]
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 0) if narrow else (0, 1),
        show_footer=True,
        pad_edge=False,
        header_style="bold",
        footer_style="bold",
    )
    table.add_column("stage", footer="total", style="cyan", no_wrap=True)
    if not tiny:
        table.add_column("blocks", min_width=14)
    for column in columns:
        table.add_column(column.heading, footer=column.footer, justify=column.justify, no_wrap=True)
    for row, *cells in zip(rows, *(column.cells for column in columns), strict=True):
        table.add_row(row.name, *([] if tiny else [Text(row.blocks)]), *cells)
    return table


@dataclass(frozen=True, slots=True)
class Spared:
    """A column that is left out where there is little room.

    Args:
        heading: one or two lines.
        cells: one for each row; a column without any text is left out.
        spare: how soon it is left out where there is little room: the highest first; 0: never.
        left: whether its texts begin together, not end.
    """

    heading: str
    cells: Sequence[str | Text]
    spare: int = 0
    left: bool = False

    @property
    def width(self) -> int:
        """Of its widest cell."""
        return max(cell_len(line) for text in (self.heading, *self.cells) for line in str(text).split("\n"))


def fitting(columns: Sequence[Spared], least: int, name: int, width: int) -> tuple[int, list[Spared]]:
    """The blanks around a column, and the columns for which there is room.

    Args:
        columns: all, without that of the names.
        least: columns of the terminal that names can do with, once only the most needed columns are left.
        name: what they take where there is room.
        width: of the terminal.
    """
    kept = list(columns)
    while True:
        inside = sum(column.width for column in kept)
        spare = max((column.spare for column in kept), default=0)
        for gap, names in ((1, name), (0, name), (0, least)):
            if names == least < name and spare > LAST_TO_GO:
                continue
            if names + inside + (2 * gap + 1) * len(kept) + 2 <= width:
                return gap, kept
        if not spare:
            return 0, kept
        kept = [column for column in kept if column.spare != spare]
