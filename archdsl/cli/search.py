"""`archdsl search`: a search from its file to its report."""

from __future__ import annotations

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from archdsl.cli.messages import mistake, report
from archdsl.cli.specs import parse_overrides
from archdsl.cli.trained import check_backend

INTERRUPTED = 130
_EXAMPLE = "NAME=TEXT: --set 'budget=trials(8)', --set 'sampler=random(seed = 1)'"


def search(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A .search file, or the name of a shipped one (tiny_cpu).")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the study; runs/NAME if left out.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study in the folder; begin one if there is none.")
    ] = False,
    executor: Annotated[
        str, typer.Option("--executor", metavar="NAME", help="Who trains: local processes, or ray.")
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=10_000,
            help="Trials at a time; as many as this machine has cores for if left out.",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", min=1, max=1024, help="Threads of each trial.")
    ] = 1,
    gpus: Annotated[
        float,
        typer.Option(
            "--gpus",
            metavar="F",
            min=0,
            max=64,
            help="GPUs of each trial; 0.5 lets two share one. Without any, trials run on the CPU.",
        ),
    ] = 0.0,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="ADDRESS", help="The Ray cluster: auto, or host:port."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", metavar="DIR", help="Where Ray Tune keeps its results; ~/ray_results if left out."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URL", help="Database of the study; SQLite in its folder if left out."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=TEXT", help="Replace a setting: --set 'budget=trials(8)'."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the outcome only.")] = False,
) -> None:
    """Run a search: propose, train, stop early, record; then its claims and the test of the winner.

    Everything lies in the study's folder: database, checkpoints, trials.csv,
    report.html and the winner as a spec. What is interrupted goes on with --resume.
    """
    from archdsl.cli.front import outcome
    from archdsl.cli.live import Lines, LiveTable, Quiet
    from archdsl.cli.tables import console
    from archdsl.nas.read import read_search
    from archdsl.nas.report.files import PAGE
    from archdsl.nas.search import FOLDER
    from archdsl.nas.search import search as run

    if executor != "ray":
        for option, given in (("--address", address), ("--results", results)):
            if given is not None:
                raise mistake("E510", f"`{option}` is for Ray", help="add --executor ray, or leave it out")
    replaced = {name: str(text) for name, text in parse_overrides(settings or (), _EXAMPLE).items()}
    check_backend()
    plan = read_search(file, replaced)
    report(plan.warnings)
    folder = out if out is not None else Path(FOLDER) / plan.name
    screen = console()
    with ExitStack() as stack:
        watcher: Quiet
        if quiet:
            watcher = Quiet()
        elif screen.is_terminal:
            watcher = stack.enter_context(LiveTable(screen))
        else:
            watcher = Lines(screen)
        try:
            run(
                plan, out=folder, executor=executor, workers=workers, threads=threads, gpus=gpus,
                address=address, results=results, storage=storage, resume=resume, watcher=watcher,
            )  # fmt: skip
        except KeyboardInterrupt:
            stack.close()
            if watcher.results is not None:
                outcome(watcher.results, folder, folder / PAGE)
            command: list[str] = ["archdsl", "search", file, "--out", str(folder), "--resume"]
            for option, value in (
                ("--executor", executor if executor != "local" else None),
                ("--workers", workers),
                ("--threads", threads if threads != 1 else None),
                ("--gpus", gpus or None),
                ("--address", address),
                ("--results", results),
                ("--storage", storage),
                *(("--set", text) for text in settings or ()),
            ):
                command += [option, str(value)] if value is not None else []
            typer.echo(f"interrupted; go on: {shlex.join(command)}", err=True)
            raise typer.Exit(INTERRUPTED) from None
    if watcher.results is not None:
        outcome(watcher.results, folder, folder / PAGE)
