"""`archdsl train`: one architecture trained on a task, without a search."""

from __future__ import annotations

import csv
import io
import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake
from archdsl.cli.specs import Arch, Image, Override, Spec
from archdsl.cli.trained import Seed, Seeds, TaskText, Threads, carried_out, loaded, percent, seeds_of

if TYPE_CHECKING:
    from archdsl.graph.architecture import Architecture
    from archdsl.nas.jobs import Report
    from archdsl.tasks import Task

UNFINISHED = "unfinished"
"""The folder inside DIR that holds checkpoints while a training runs."""
ROWS = 8
"""Of the learning curve, as printed."""


def train(
    spec: Spec,
    task: TaskText,
    arch: Arch = None,
    overrides: Override = None,
    image: Image = None,
    seed: Seed = None,
    seeds: Seeds = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", min=1, help="Goes over the epochs of the task.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Write model.arch, weights.safetensors (of the first seed), curve.csv and results.json "
            "there; the same command goes on where an interrupted one stopped.",
        ),
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--results", metavar="FILE", help="Write the results as JSON.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Train an architecture and score it on the validation and the test images.

    Classes and channels are those of the task. The numbers are those that a trial of a search would have.
    """
    from archdsl.nas.jobs import Job
    from archdsl.tasks import read_task

    chosen = read_task(task)
    if epochs is not None:
        chosen = chosen.changed({"epochs": epochs})
    architecture = loaded(chosen, spec, arch, overrides, image)
    numbers = seeds_of(seed, seeds)
    with _folder(out) as folder, _bar(chosen.epochs) as (progress, told):
        every = tuple(range(1, chosen.epochs + 1))
        job = Job("train", architecture.to_source(), chosen.text(), numbers, every, (), str(folder))
        reports = []
        for report in carried_out(job, threads, progress):
            reports.append(report)
            told(report)
        job = Job("test", job.arch, job.task, numbers, every[-1:], (), str(folder), split="test")
        (test,) = carried_out(job, threads)
        command = _command(spec, arch, overrides, image, chosen, seed, seeds)
        done = _Done(command, architecture, chosen, numbers, reports, test, chosen.baselines())
        if out is not None:
            _write(done, folder, out)
    _print(done)
    for path in filter(None, (results, out and out / "results.json")):
        _write_results(done, path)
    if out is not None:
        shutil.rmtree(out / UNFINISHED)
        typer.echo(f"wrote model.arch, weights.safetensors, curve.csv and results.json to {out}")


@dataclass(frozen=True, slots=True)
class _Done:
    command: str
    architecture: Architecture
    task: Task
    seeds: tuple[int, ...]
    reports: Sequence[Report]
    test: Report
    baselines: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Of training and scoring, before an interruption too."""
        return sum(report.seconds for report in (*self.reports, self.test))

    @property
    def curve(self) -> list[dict[str, float]]:
        """A row for every epoch, means over the seeds."""
        return [row for report in self.reports for row in report.curve]

    def of_seeds(self, report: Report, name: str) -> list[float]:
        """A score of every seed."""
        return [scores[name] for scores in report.seeds]


def _command(
    spec: str,
    arch: str | None,
    overrides: Sequence[str] | None,
    image: str | None,
    task: Task,
    seed: int | None,
    seeds: int | None,
) -> str:
    """The command line without what says where results go."""
    words = ["archdsl", "train", spec]
    words += ["--arch", arch] if arch is not None else []
    words += [word for override in overrides or () for word in ("--set", override)]
    words += ["--image", image] if image is not None else []
    words += ["--task", task.text()]
    words += ["--seeds", str(seeds)] if seeds is not None else ["--seed", str(seed or 0)]
    return shlex.join(words)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Where checkpoints lie while it runs: inside DIR, else nowhere that stays."""
    if out is None:
        with TemporaryDirectory(prefix="archdsl-") as name:
            yield Path(name)
        return
    folder = (out / UNFINISHED).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error),)
        raise mistake("E508", f"cannot write to {out}", notes=reason, help="name another folder") from None
    yield folder


@contextmanager
def _bar(epochs: int) -> Iterator[tuple[Callable[[float], None], Callable[[Report], None]]]:
    """A bar on stderr where that is a terminal: takes the epochs done, and every report."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from archdsl.cli.tables import console

    screen = console(to_stderr=True)
    columns = (
        TextColumn("epoch {task.completed:.1f} / {task.total}"),
        BarColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, TimeRemainingColumn(), console=screen, disable=not screen.is_terminal) as bar:
        line = bar.add_task("", total=epochs)

        def progress(epoch: float) -> None:
            bar.update(line, completed=epoch)

        def told(report: Report) -> None:
            scores = "  ".join(f"{n} {v:.4g}" for n, v in report.values.items())
            bar.update(line, completed=report.epoch, description=f"validation {scores}")

        yield progress, told


def _print(done: _Done) -> None:
    from rich import box
    from rich.table import Table

    from archdsl.cli.tables import console
    from archdsl.graph.views.summary import short

    a, out = done.architecture, console()
    cost = a.cost()
    size = f"{a.image[0]} x {a.image[1]} image, {cost.params:,} parameters, {short(cost.macs.total)} MACs"
    out.print(f"[bold]{a.name}[/]  {size}")
    out.print(f"{done.task.text()}, seeds {', '.join(map(str, done.seeds))}", style="dim", markup=False)
    rows = done.curve
    every = -(-len(rows) // ROWS)
    shown = [row for i, row in enumerate(rows, 1) if (len(rows) - i) % every == 0]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    names = list(rows[-1])
    for name in names:
        heading = f"validation {name}" if name in done.task.scores else name.replace("_", " ")
        table.add_column(heading, justify="right")
    for row in shown:
        table.add_row(*(f"{row[n]:.0f}" if n == "epoch" else f"{row[n]:.4g}" for n in names))
    out.print(table)
    last = done.reports[-1]
    for name in done.task.scores:
        show = percent if name == "accuracy" else _plain
        out.print(f"{name:10} validation  {show(done.of_seeds(last, name))}")
        out.print(f"{'':10} test        {show(done.of_seeds(done.test, name))}")
    if done.baselines:
        others = ", ".join(f"{name} {100 * value:.2f} %" for name, value in done.baselines.items())
        out.print(f"on the same test images: {others}")
    out.print(f"{done.seconds:.0f} s", style="dim")


def _plain(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.4g}" for v in values)


def _write(done: _Done, folder: Path, out: Path) -> None:
    """The model, its weights and its learning curve."""
    from archdsl.weights.files import write_text

    table = io.StringIO()
    writer = csv.DictWriter(table, list(done.curve[-1]))
    writer.writeheader()
    writer.writerows({**row, "epoch": int(row["epoch"])} for row in done.curve)
    write_text(out / "curve.csv", table.getvalue())
    write_text(out / "model.arch", done.architecture.to_source())
    (folder / "weights.safetensors").replace(out / "weights.safetensors")


def _write_results(done: _Done, path: Path) -> None:
    """Everything that was found, with the conditions it was found under."""
    from archdsl.cli.machine import conditions
    from archdsl.weights.files import write_text

    a = done.architecture
    cost = a.cost()
    last = done.reports[-1]
    found = {
        "command": done.command,
        **conditions("torch", "timm", "scikit-learn", "numpy"),
        "arch": {"name": a.name, "digest": a.digest(), "params": cost.params, "macs": cost.macs.total},
        "task": done.task.text(),
        "images": dict(zip(("train", "validation", "test"), done.task.images or (), strict=False)),
        "seconds": round(done.seconds, 1),
        "mean": {"validation": last.values, "test": done.test.values},
        "seeds": [
            {"seed": n, "validation": v, "test": t}
            for n, v, t in zip(done.seeds, last.seeds, done.test.seeds, strict=True)
        ],
        "baselines_test_accuracy": dict(done.baselines),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(found, indent=2) + "\n")
