"""`archdsl bench check`: how long a check takes."""

from __future__ import annotations

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

from archdsl.cli.messages import mistake

PROCESS_BOUND = 0.5
SPEC_BOUND = 0.010


def check(
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=1000, help="Runs behind each median.")] = 15,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the results as JSON.")
    ] = None,
) -> None:
    """How long a spec takes to parse and check, and `archdsl check` from start to finish.

    The first with everything imported, for one architecture (the default of the file) and for all of a file;
    the second as a process of its own over all shipped specs.
    """
    from rich import box
    from rich.table import Table

    import archdsl
    from archdsl.cli.bench.results import write
    from archdsl.cli.machine import conditions
    from archdsl.cli.tables import console
    from archdsl.graph.library import folder

    specs = sorted(folder().glob("*.arch"))
    with TemporaryDirectory() as copies:
        rows: list[tuple[str, float, float | None]] = []
        for spec in specs:
            whole = _fresh(spec, Path(copies), archdsl.check)
            names = len(_names(spec))
            if names:
                one = _fresh(spec, Path(copies), archdsl.load)
                rows.append((f"{spec.name}, one architecture", _median(one, repeats), SPEC_BOUND))
            rows.append((f"{spec.name}, all {names}" if names else spec.name, _median(whole, repeats), None))
    command = [sys.executable, "-m", "archdsl", "check", *map(str, specs)]
    rows.append(("archdsl check, process", _median(partial(_process, command), repeats), PROCESS_BOUND))
    results = {
        "what": "medians in seconds: a spec parsed and checked, one architecture or the whole file; "
        "the process `archdsl check` over all shipped specs",
        **conditions("lark", "pydantic", "typer"),
        "repeats": repeats,
        "seconds": {name: round(seconds, 6) for name, seconds, _ in rows},
        "bounds": {name: bound for name, _, bound in rows if bound is not None},
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("measured", style="cyan")
    table.add_column("median", justify="right")
    table.add_column("bound", justify="right")
    for name, seconds, bound in rows:
        table.add_row(name, f"{seconds * 1e3:.1f} ms", f"{bound * 1e3:.0f} ms" if bound is not None else "-")
    console().print(table)
    write(results, out)


def _median(run: Callable[[], None], repeats: int) -> float:
    """The median of so many runs, after one that warms up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _names(spec: Path) -> list[str]:
    """The architectures and variants that a file defines."""
    from archdsl.lang import parse, read
    from archdsl.lang.tree import ArchDef, VariantDef

    return [s.name for s in parse(read(spec)).statements if isinstance(s, ArchDef | VariantDef)]


def _fresh(spec: Path, copies: Path, work: Callable[[Path], object]) -> Callable[[], None]:
    """`work` on a copy whose text is new every time, so that nothing is known from the time before."""
    text = spec.read_text(encoding="utf-8")
    copy = copies / spec.name
    numbers = count()

    def run() -> None:
        copy.write_text(f"{text}# {next(numbers)}\n", encoding="utf-8")
        work(copy)

    return run


def _process(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise mistake(
            "E501", "`archdsl check` fails on the shipped specs", notes=done.stderr.splitlines()[:5]
        )
