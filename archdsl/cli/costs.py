"""Costs on the terminal: one architecture by stages, or many in tables beside what is published of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from archdsl.cli.part_costs import Run, print_bound, print_parts, time_text
from archdsl.cli.tables import Spared, console, fitting, stage_table
from archdsl.graph.comparison import Compared, Comparison
from archdsl.graph.elaboration.files import Unit
from archdsl.graph.listing import Listed, about, numbered
from archdsl.graph.published import CONVENTIONS
from archdsl.graph.views.summary import UNITS, short, size_text, stage_rows

DIFFERS = "≠"
"""Behind a printed count that is not ours, rounded to its digits."""
MIN_NAME = 24
"""Columns that names can do with; longer ones go on in the next line where there is little room."""


@dataclass(frozen=True, slots=True)
class Group:
    """Architectures of one file.

    Args:
        unit: the file.
        rows: some of its architectures, or all.
    """

    unit: Unit
    rows: tuple[Listed, ...]


def print_costs(groups: Sequence[Group], by_class: bool = False, run: Run | None = None) -> None:
    """Prints one architecture by its stages, several as rows: those of a file together under its title.

    Args:
        groups: as asked for.
        by_class: print the classes of multiply-accumulates instead of what is published.
        run: the device and the images whose bound is told.
    """
    out = console()
    rows = [row for group in groups for row in group.rows]
    if len(rows) == 1:
        _print_one(out, rows[0], run)
    else:
        alone = tuple(row for group in groups if len(group.rows) == 1 for row in group.rows)
        if alone:
            _print_rows(out, alone, by_class, run)
        explained = False
        for group in groups:
            if len(group.rows) > 1:
                if explained:
                    out.print()
                title = f"[bold]{escape(group.unit.source.name)}[/]"
                out.print(f"{title}  {escape(said)}" if (said := about(group.unit)) else title)
                explained = _print_rows(out, group.rows, by_class, run)
        for group in groups:
            if not group.rows:
                out.print(f"{escape(group.unit.source.name)} has definitions alone, no architecture to count")
    out.print(UNITS, style="dim")


def _print_one(out: Console, row: Listed, run: Run | None) -> None:
    a, total = row.architecture, row.cost
    size = f"{a.image[0]} x {a.image[1]} image, {a.classes} classes"
    out.print(f"[bold]{a.name}[/]  {total.params:,} parameters, {size}")
    out.print(stage_table(stage_rows(a, total), total, out.width))
    if row.published is not None:
        out.print(_line(row.published))
        _print_notes(out, [(" ", row.published.note)] if row.published.note else [])
        for line in _legend([row.published]):
            out.print(line, style="dim")
    print_parts(out, a, total)
    if run is not None:
        print_bound(out, run.bound(a))


def _line(published: Comparison) -> Text:
    """`published in MILA, arXiv 2405.16605, table 3: 25M != parameters, 4.2G MACs, 83.5 % top-1`."""
    f = published.figures
    where = ", ".join(part for part in (f.source, "" if f.table in f.source else f.table) if part)
    out = Text(f"published{f' in {where}' if where else ''}: ")
    parts = []
    for printed, compared, what in (
        (f.params, published.params, "parameters"),
        (f.macs, published.macs, "MACs"),
    ):
        if compared is not None:
            parts.append(Text.assemble(_printed(printed, compared), f" {what}"))
            if what == "MACs" and published.counts_otherwise:
                parts[-1].append(f" ({short(compared.ours)} counted likewise)")
        elif printed is not None:
            parts.append(Text(f"{what} {printed}"))
    if f.top1 is not None:
        parts.append(Text(f"top-1 {f.top1}"))
    return out + Text(", ").join(parts)


def _printed(printed: str | None, compared: Compared | None) -> Text:
    """A printed count with its mark."""
    if compared is None or compared.agrees:
        return Text(printed or "")
    return Text(f"{printed} {DIFFERS}", style="yellow")


def _print_rows(out: Console, rows: Sequence[Listed], by_class: bool, run: Run | None) -> bool:
    """Prints a table, its notes and the meaning of its signs; whether there was something to explain."""
    notes = {} if by_class else numbered(rows)
    published = [] if by_class else [row.published for row in rows if row.published is not None]
    columns = [*_counts(rows), *(_classes(rows) if by_class else _published(rows, notes))]
    if not published:
        columns.append(Spared("activations", [size_text(row.cost.activation_bytes) for row in rows], 7))
    if run is not None:
        bounds = [time_text(run.bound(row.architecture).total.seconds) for row in rows]
        columns.append(Spared(f"at least\n{run.device}", bounds))
    columns = [column for column in columns if any(str(cell) for cell in column.cells)]
    names = [row.architecture.name for row in rows]
    gap, kept = fitting(columns, min(MIN_NAME, max(map(len, names))), max(map(len, names)), out.width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap), pad_edge=False, header_style="bold")
    table.add_column("arch", style="cyan", overflow="fold", vertical="bottom")
    for column in kept:
        justify: Literal["left", "right"] = "left" if column.left else "right"
        table.add_column(column.heading, justify=justify, no_wrap=True, overflow="fold", vertical="bottom")
    for name, *cells in zip(names, *(column.cells for column in kept), strict=True):
        table.add_row(name, *cells)
    if caption := _caption(rows, published):
        out.print(caption, style="dim")
    out.print(table)
    if notes:
        _print_notes(out, ((str(number), note) for note, number in notes.items()))
        out.print()
    missing = [" ".join(column.heading.split()) for column in columns if column not in kept]
    explained = [f"too narrow for: {', '.join(missing)}"] if missing else []
    explained += _legend(published)
    for line in explained:
        out.print(line, style="dim")
    return bool(explained)


def _caption(rows: Sequence[Listed], published: Sequence[Comparison]) -> str:
    """What all rows have in common: their image, and the papers they are published in; '' for nothing."""
    parts = []
    if len({row.architecture.image for row in rows}) == 1:
        parts.append("{} x {} image".format(*rows[0].architecture.image))
    sources = list(dict.fromkeys(p.figures.source for p in published if p.figures.source))
    if sources:
        parts.append(f"published in {'; '.join(sources)}")
    return ", ".join(parts)


def _legend(published: Sequence[Comparison]) -> Iterator[str]:
    """What the signs mean that stand in a table."""
    if any(c is not None and not c.agrees for p in published for c in (p.params, p.macs)):
        yield f"{DIFFERS}: our count of the same, rounded to as many digits, is another"
    if any(p.counts_otherwise for p in published):
        told = list(dict.fromkeys(p.figures.macs_of for p in published if p.macs is not None))
        yield f"counted likewise: what is counted there: {'; or '.join(map(', '.join, told))}"
        yield from (f"{name}: {said}" for name, said in CONVENTIONS.items() if any(name in t for t in told))


def _print_notes(out: Console, notes: Iterable[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for number, note in notes:
        table.add_row(number, Text(note))
    out.print(table)


def _counts(rows: Sequence[Listed]) -> list[Spared]:
    images = ["{} x {}".format(*row.architecture.image) for row in rows]
    return [
        Spared("image", images if len(set(images)) > 1 else [], 5),
        Spared("params", [f"{row.cost.params:,}" for row in rows]),
        Spared("MACs", [short(row.cost.macs.total) for row in rows]),
        Spared("scan\nMACs", [_nonzero(row.cost.macs.scan) for row in rows], 3),
    ]


def _classes(rows: Sequence[Listed]) -> list[Spared]:
    return [
        Spared("linear", [_nonzero(row.cost.macs.linear) for row in rows], 1),
        Spared("conv", [_nonzero(row.cost.macs.conv) for row in rows], 1),
        Spared("attention", [_nonzero(row.cost.macs.attention) for row in rows], 1),
    ]


def _published(rows: Sequence[Listed], notes: Mapping[str, int]) -> list[Spared]:
    """Printed figures; what we count of what the papers count, where that is not all but scans."""

    def cells(cell: Callable[[Comparison], str | Text]) -> list[str | Text]:
        return ["" if row.published is None else cell(row.published) for row in rows]

    tables = cells(lambda p: p.figures.table)
    others = any(row.published is not None and row.published.counts_otherwise for row in rows)
    likewise = cells(lambda p: "" if p.macs is None else short(p.macs.ours)) if others else []
    return [
        Spared("published\nas", cells(lambda p: p.figures.row), 6, left=True),
        Spared("\nin", tables if len(set(tables)) > 1 else [], 7, left=True),
        Spared("published\nparams", cells(lambda p: _printed(p.figures.params, p.params)), 1),
        Spared("published\nMACs", cells(lambda p: _printed(p.figures.macs, p.macs)), 1),
        Spared("counted\nlikewise", likewise, 4),
        Spared("top-1", cells(lambda p: "" if p.figures.top1 is None else str(p.figures.top1)), 2),
        Spared("note", cells(lambda p: str(notes.get(p.note, ""))), 1),
    ]


def _nonzero(count: int) -> str:
    return short(count) if count else ""
