"""`archdsl bench`: measurements, with the machine and the versions they were made on."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from archdsl.cli.report import mistake

app = typer.Typer(add_completion=False)

PROCESS_BOUND = 0.5
SPEC_BOUND = 0.010


@app.callback(invoke_without_command=True)
def bench(context: typer.Context) -> None:
    """Measure on this machine."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def check(
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=1000, help="Runs behind each median.")] = 15,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the results as JSON.")
    ] = None,
) -> None:
    """How long a spec takes to parse and check, and `archdsl check` from start to finish.

    The first with everything imported, the second as a process of its own over all shipped specs.
    """
    from rich import box
    from rich.table import Table

    from archdsl.cli.machine import conditions
    from archdsl.cli.tables import console
    from archdsl.graph.library import folder

    specs = sorted(folder().glob("*.arch"))
    with TemporaryDirectory() as copies:
        rows = [(p.name, _median(_checks(p, Path(copies)), repeats), SPEC_BOUND) for p in specs]
    command = [sys.executable, "-m", "archdsl", "check", *map(str, specs)]
    rows.append(("archdsl check, process", _median(partial(_process, command), repeats), PROCESS_BOUND))
    results = {
        "what": "medians in seconds: a spec parsed and checked; the process `archdsl check`",
        **conditions("lark", "pydantic", "typer"),
        "repeats": repeats,
        "seconds": {name: round(seconds, 6) for name, seconds, _ in rows},
        "bounds": {name: bound for name, _, bound in rows},
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("measured", style="cyan")
    table.add_column("median", justify="right")
    table.add_column("bound", justify="right")
    for name, seconds, bound in rows:
        table.add_row(name, f"{seconds * 1e3:.1f} ms", f"{bound * 1e3:.0f} ms")
    console().print(table)
    if out is not None:
        from archdsl.weights.files import write_text

        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps(results, indent=2) + "\n")
        typer.echo(f"wrote {out}")


def _median(run: Callable[[], None], repeats: int) -> float:
    """The median of so many runs, after one that warms up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _checks(spec: Path, copies: Path) -> Callable[[], None]:
    """A check of a copy whose text is new every time, so that nothing is known from the time before."""
    import archdsl

    text = spec.read_text(encoding="utf-8")
    copy = copies / spec.name
    numbers = count()

    def run() -> None:
        copy.write_text(f"{text}# {next(numbers)}\n", encoding="utf-8")
        archdsl.check(copy)

    return run


def _process(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise mistake(
            "E501", "`archdsl check` fails on the shipped specs", notes=done.stderr.splitlines()[:5]
        )
