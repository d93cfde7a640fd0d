"""The results of `archdsl bench models` and `archdsl bench train` as tables and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from archdsl.cli.bench.bars import Panel, draw
from archdsl.cli.bench.scan_report import save
from archdsl.cli.tables import console

__all__ = ["picture", "save", "show"]
Results = Mapping[str, Any]


def show(results: Results) -> None:
    """Prints a table for every model and batch."""
    screen = console()
    for row in results["models"]:
        screen.print(_table(row, results["against"]))
    for text in results["wrong"]:
        screen.print(f"WRONG: {text}", markup=False)
    screen.print(results["what"], style="dim", markup=False, soft_wrap=True)


def _table(row: Mapping[str, Any], against: str) -> Table:
    title = f"{row['model']}, batch {row['batch']}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column("way", style="cyan", no_wrap=True)
    memory = row.get("peak_bytes", {})
    for heading in ("ms", "images/s", f"over {against}", *(["peak memory"] if memory else [])):
        table.add_column(heading, justify="right")
    for name, time in row["milliseconds"].items():
        ratio = row["ratios"].get(name)
        cells = [
            f"{time['median']:.4g}",
            f"{row['images_per_second'][name]:.4g}",
            f"{ratio:.3g}x" if ratio else "-",
        ]
        if memory:
            cells.append(f"{memory[name] / 2**20:,.0f} MiB" if name in memory else "-")
        table.add_row(name, *cells)
    for name, reason in row["not_run"].items():
        table.add_row(name, reason)
    return table


def picture(results: Results, training: bool) -> str:
    """Bars for every model and batch."""
    panels = [
        Panel(
            f"{row['model']}, batch {row['batch']}",
            {name: time["median"] for name, time in row["milliseconds"].items()},
            results["against"],
            [name for name in results["ways"] if name.startswith("archdsl")],
        )
        for row in results["models"]
    ]
    clock = "one thread" if results["threads"] == 1 else f"{results['threads']} threads"
    what = "A step of training" if training else "Inference"
    about = f"Times of models, {results['machine']['processor']}, against {results['against']}."
    return draw(f"{what} on the CPU, float32, {clock}", "ms", panels, about)
