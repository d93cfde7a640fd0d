"""`archdsl bench search`: what a search costs beside the training, and how soon it starts."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake
from archdsl.nas.watch import Watcher

if TYPE_CHECKING:
    from archdsl.nas.jobs import Job

LOCAL_IN_MEMORY = 0.020
LOCAL_ON_SQLITE = 0.080
RAY_TUNE = 0.150
FIRST_LOCAL = 1.5
FIRST_RAY = 8.0
"""Bounds in seconds: a trial, and from the command to the first trial, torch's import apart."""
WARM_UP = 5
"""Trials that don't count."""

TEXT = """\
search overhead {
  arch = tiny(dim = 16)

  vary {
    dim       in 8 .. 64 step 8
    s1.blocks in 3 x each one_of(gated_conv, conv)
    s2.blocks in 4 x each one_of(scan, attn, gated_conv)
  }

  task     = instant
  maximize = accuracy
  minimize = macs
  sampler  = SAMPLER(seed = 0)
  budget   = trials(TRIALS)
}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A way to run a search.

    Args:
        name: as shown.
        executor: its name.
        storage: as `Study.open` takes it.
        sampler: its name.
        bound: seconds a trial, None where there is none.
    """

    name: str
    executor: str
    storage: str | None
    sampler: str
    bound: float | None


CASES = (
    Case("a trial, local, in memory, random", "local", "memory", "random", LOCAL_IN_MEMORY),
    Case("a trial, local, SQLite, random", "local", None, "random", LOCAL_ON_SQLITE),
    Case("a trial, local, SQLite, tpe", "local", None, "tpe", LOCAL_ON_SQLITE),
    Case("a trial, Ray Tune, SQLite, random", "ray", None, "random", RAY_TUNE),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement in seconds, with the bound it is held against."""

    name: str
    seconds: float
    bound: float | None = None


@dataclass(slots=True)
class Clock(Watcher):
    """Watches when jobs are handed out."""

    started_at: list[float] = field(default_factory=list)

    def started(self, job: Job) -> None:
        """Notes the time."""
        if job.id.startswith("trial"):
            self.started_at.append(time.perf_counter())


def search(
    trials: Annotated[int, typer.Option("--trials", min=10, max=10_000, help="Trials of each search.")] = 100,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=100, help="Starts behind each median.")] = 3,
    executor: Annotated[
        str, typer.Option("--executor", metavar="NAME", help="local, ray, or all that are installed.")
    ] = "all",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the results as JSON.")
    ] = None,
) -> None:
    """What a trial of a search costs beside its training, and how long it takes to begin.

    Searches over a task that does nothing, with one worker: the median time from one trial's start to the
    next. Then the command itself, until the first trial starts, the time of importing torch taken off.
    """
    from rich import box
    from rich.table import Table

    from archdsl.cli.bench.results import write
    from archdsl.cli.machine import conditions
    from archdsl.cli.tables import console

    wanted = _executors(executor)
    rows: list[Row] = []
    with TemporaryDirectory(prefix="archdsl-bench-") as scratch:
        for index, case in enumerate(c for c in CASES if c.executor in wanted):
            rows.append(Row(case.name, _trial(case, trials, Path(scratch) / f"case-{index}"), case.bound))
        torch = statistics.median(_import_of_torch() for _ in range(repeats))
        for name in wanted:
            begun = [_first(name, Path(scratch) / f"first-{name}-{i}") for i in range(repeats)]
            bound = FIRST_RAY if name == "ray" else FIRST_LOCAL
            rows.append(Row(f"first trial, {name}, without torch", statistics.median(begun) - torch, bound))
        rows.append(Row("import of torch", torch))
    results = {
        "what": "medians in seconds: from one trial's start to the next, with one worker and a task that "
        "does nothing; from the command to the first trial's start, less the time of importing torch",
        **conditions("torch", "optuna", "ray"),
        "trials": trials,
        "repeats": repeats,
        "seconds": {row.name: round(row.seconds, 6) for row in rows},
        "bounds": {row.name: row.bound for row in rows if row.bound is not None},
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("measured", style="cyan")
    table.add_column("median", justify="right")
    table.add_column("bound", justify="right")
    for row in rows:
        table.add_row(row.name, _milliseconds(row.seconds), _milliseconds(row.bound))
    console().print(table)
    write(results, out)


def _executors(wanted: str) -> tuple[str, ...]:
    """The executors to measure; without Ray only the local one."""
    from importlib.util import find_spec

    from archdsl.nas.executors import NAMES

    if wanted == "all":
        return tuple(n for n in NAMES if n != "ray" or find_spec("ray") is not None)
    if wanted not in NAMES:
        raise mistake("E510", f"there is no executor `{wanted}`", help=f"write all, {' or '.join(NAMES)}")
    return (wanted,)


def _trial(case: Case, trials: int, folder: Path) -> float:
    """The median time of a trial."""
    from archdsl.nas.board import Resources
    from archdsl.nas.executors import find
    from archdsl.nas.read import read_search
    from archdsl.nas.study import Study

    clock = Clock()
    plan = read_search(_written(folder, case.sampler, trials))
    resources = Resources(workers=1, results=folder / "results")
    with Study.open(
        plan, folder / "study", storage=case.storage, executor=case.executor, watcher=clock
    ) as study:
        find(case.executor).run(study, resources, folder / "study")
    times = [after - before for before, after in pairwise(clock.started_at)][WARM_UP:]
    if len(times) < trials // 2:
        raise mistake("E501", f"the search of the case `{case.name}` ended after {len(times)} trials")
    return statistics.median(times)


def _first(executor: str, folder: Path) -> float:
    """From the start of `archdsl search` to the start of the first trial's run."""
    file = _written(folder, "random", 1)
    study = folder / "study"
    command = [sys.executable, "-m", "archdsl", "search", str(file), "--quiet", "--executor", executor]
    command += ["--workers", "1", "--out", str(study)]
    if executor == "ray":
        command += ["--results", str(folder / "results")]
    start = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    begun = [float(json.loads(p.read_text())["began"]) for p in study.glob("trials/*/seed-0.ckpt")]
    if done.returncode or not begun:
        raise mistake("E501", "`archdsl search` fails on the benchmark", notes=done.stderr.splitlines()[-5:])
    return min(begun) - start


def _import_of_torch() -> float:
    code = "import time; start = time.perf_counter(); import torch; print(time.perf_counter() - start)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _written(folder: Path, sampler: str, trials: int) -> Path:
    """The search of this benchmark as a file."""
    folder.mkdir(parents=True)
    file = folder / "overhead.search"
    file.write_text(TEXT.replace("SAMPLER", sampler).replace("TRIALS", str(trials)), encoding="utf-8")
    return file


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:,.1f} ms"
