"""The results of `archdsl bench --device cuda --all` as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from archdsl.cli.tables import console

Results = Mapping[str, Any]


def show(results: Results) -> None:
    """Prints which kernels are right, and a line for every time."""
    screen = console()
    proofs = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in ("kernel", "type", "order", "right"):
        proofs.add_column(heading)
    for row in results["proofs"]:
        state = "yes" if row.get("right") else row.get("not_here") or f"NO: {row['wrong']}"
        proofs.add_row(row["kernel"], row["dtype"], row["layout"], state)
    screen.print(proofs)
    times = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in ("what", "type", "pass", "(b, d, n, l)", "way"):
        times.add_column(heading)
    for heading in ("ms", "over archdsl", "of the roofline", "images/s", "memory"):
        times.add_column(heading, justify="right")
    for row in results["timed"]:
        for name, time in row["milliseconds"].items():
            times.add_row(*_head(row), name, f"{time['median']:.4g}", *_measures(row, name))
        for name, reason in row["not_run"].items():
            times.add_row(*_head(row), name, reason)
    screen.print(times)
    for text in results["wrong"]:
        screen.print(f"WRONG: {text}", markup=False)


def _head(row: Mapping[str, Any]) -> tuple[str, ...]:
    size = " x ".join(map(str, row["shape"])) or f"batch {row.get('batch', '-')}"
    return row["name"] or row["kind"], row["dtype"], row["pass"], size


def _measures(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    ratio, share = row["ratios"].get(name), row.get("share_of_roofline", {}).get(name)
    speed, memory = row.get("images_per_second", {}).get(name), row.get("peak_bytes", {}).get(name)
    return (
        f"{ratio:.3g}x" if ratio else "-",
        f"{share:.0%}" if share else "-",
        f"{speed:,.0f}" if speed else "-",
        f"{memory / 2**20:,.0f} MiB" if memory else "-",
    )
