"""The results of `archdsl bench ops` as tables and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.table import Table

from archdsl.cli.bench.bars import Panel, draw
from archdsl.cli.bench.parts import ALL
from archdsl.cli.tables import console

Results = Mapping[str, Any]


def show(results: Results) -> None:
    """Prints tables of times and ratios, one for each type and pass, and what the machine can do."""
    screen = console()
    rows = results["scans"]
    for dtype, which in dict.fromkeys((r["dtype"], r["pass"]) for r in rows):
        chosen = [r for r in rows if (r["dtype"], r["pass"]) == (dtype, which)]
        screen.print(_table(f"{which}, {dtype}", chosen, results["against"]))
    both = results["both_directions"]
    for which in dict.fromkeys(r["pass"] for r in both):
        screen.print(
            _table(
                f"both directions, {which}, float32", [r for r in both if r["pass"] == which], "one direction"
            )
        )
    screen.print(_table("parts of the forward, float32", results["parts"]["scans"], ALL))
    for line in lines(results):
        screen.print(line, markup=False)


def lines(results: Results) -> list[str]:
    """What no table shows."""
    said = [f"not here: {name}: {p['missing']}" for name, p in results["peers"].items() if p["missing"]]
    limits = results["limits"]
    said += [
        f"exponentials, {name}: {rate / 1e9:.1f} G/s"
        for name, rate in limits["exponentials_per_second"].items()
    ]
    said += [
        f"copying {name}: {rate / 1e9:.1f} GB/s" for name, rate in limits["bytes_copied_per_second"].items()
    ]
    shares = results["share_of_exponentials"].items()
    said += [
        f"{results['against']} at {shape}: {share:.0%} of the rate of exponentials" for shape, share in shares
    ]
    for start in ("cold", "warm"):
        if start in results["first_calls"]:
            first = results["first_calls"][start]["first call"]
            both = f"{first['processor']:.2f} s of processor time, {first['wall']:.2f} s"
            said.append(f"first forward + backward, {start}: {both}")
    return [*said, *(f"WRONG: {text}" for text in results["wrong"])]


def _table(title: str, rows: Sequence[Mapping[str, Any]], against: str) -> Table:
    """Ways down, shapes across: milliseconds, and how many times that of one of them."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column("ms, (b, d, n, l)", style="cyan", no_wrap=True)
    for row in rows:
        table.add_column(" x ".join(map(str, row["shape"])), justify="right")
    names = dict.fromkeys(n for row in rows for n in (*row["milliseconds"], *row["not_run"]))
    notes: dict[str, int] = {}
    for name in names:
        table.add_row(name, *(_cell(row, name, against, notes) for row in rows))
    if notes:
        table.caption = "; ".join(f"[{number}] {reason}" for reason, number in notes.items())
        table.caption_justify = "left"
    return table


def _cell(row: Mapping[str, Any], name: str, against: str, notes: dict[str, int]) -> str:
    time = row["milliseconds"].get(name)
    if time is None:
        reason = row["not_run"].get(name, "")
        return f"({notes.setdefault(reason, len(notes) + 1)})" if reason else "-"
    ratio = row["ratios"].get(name)
    text = f"{time['median']:.3g}" if time["median"] < 1000 else f"{time['median']:,.0f}"
    return text if name == against or ratio is None else f"{text}  {ratio:>5.3g}x"


def picture(results: Results) -> str:
    """Bars for every shape, forward and forward + backward, float32."""
    panels = []
    own = [name for name, p in results["peers"].items() if p["what"].startswith("archdsl")]
    for row in results["scans"]:
        if row["dtype"] != "float32":
            continue
        times = {name: t["median"] for name, t in row["milliseconds"].items()}
        ordered = dict(sorted(times.items(), key=lambda item: item[1]))
        shape = " x ".join(map(str, row["shape"]))
        panels.append(Panel(f"{row['pass']}, (b, d, n, l) = {shape}", ordered, results["against"], own))
    clock = "one thread" if results["threads"] == 1 else f"{results['threads']} threads"
    title = f"Selective scan on the CPU, float32, {clock}"
    about = f"Times of the selective scan, {results['machine']['processor']}, against {results['against']}."
    return draw(title, "ms", panels, about)


def save(text: str, file: Path) -> None:
    """Writes a picture and says so."""
    from archdsl.weights.files import write_text

    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    typer.echo(f"wrote {file}")
