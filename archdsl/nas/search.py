"""A search from start to end: read, opened, carried out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from archdsl.nas import executors
from archdsl.nas.board import Resources, cores
from archdsl.nas.plan import SearchPlan
from archdsl.nas.read import read_search
from archdsl.nas.report import Files
from archdsl.nas.storage import MEMORY
from archdsl.nas.study import Study
from archdsl.nas.watch import Together, Watcher

FOLDER = "runs"


def search(
    source: str | Path | SearchPlan,
    *,
    out: str | Path | None = None,
    executor: str = "local",
    workers: int | None = None,
    threads: int = 1,
    gpus: float = 0.0,
    address: str | None = None,
    results: str | Path | None = None,
    storage: str | None = None,
    resume: bool = False,
    watcher: Watcher | None = None,
    settings: Mapping[str, str] | None = None,
) -> Study:
    """Carries out a search; what it found is in `.results()` of the study that is returned, and as files in
    its folder: `report.html`, `trials.csv`, the winner.

    Args:
        source: path of a `.search` file, name of a shipped search, or a plan that was read.
        out: folder of the study, `runs/NAME` by default.
        executor: `local` for processes on this machine, `ray` for Ray Tune.
        workers: jobs at a time; by default as many as there are cores for their threads, one with GPUs.
        threads: of one job.
        gpus: of one job, a fraction where several share one.
        address: of a Ray cluster; by default one is started here.
        results: where Ray Tune keeps its results, `~/ray_results` by default.
        storage: None for SQLite in the folder, `memory`, or the URL of a database.
        resume: go on with the study in the folder.
        watcher: is told what happens.
        settings: text that replaces a setting or adds one, `{"budget": "trials(4)"}`.

    Raises:
        DiagnosticError: with everything that is wrong with the search, or the reason why its study, storage
            or executor can't be used. What is recorded by then stays, as it does when it is interrupted.
    """
    plan = source if isinstance(source, SearchPlan) else read_search(source, settings)
    resources = Resources(
        workers or default_workers(threads, gpus),
        threads,
        gpus,
        address,
        None if results is None else Path(results),
    )
    plan.task.prepare()
    with ExitStack() as stack:
        if out is None and storage == MEMORY:
            folder = Path(mkdtemp(prefix="archdsl-"))
            stack.callback(rmtree, folder, ignore_errors=True)
        else:
            folder = Path(out) if out is not None else Path(FOLDER) / plan.name
        files = None if out is None and storage == MEMORY else Files(folder)
        runner = executors.find(executor)
        stack.callback(runner.close)
        runner.prepare(resources, folder)
        study = stack.enter_context(
            Study.open(
                plan,
                folder,
                storage=storage,
                resume=resume,
                workers=resources.workers,
                watcher=Together(*(w for w in (files, watcher) if w is not None)),
                executor=executor,
            )
        )
        if files is not None:
            files.follow(study.results)
        runner.run(study, resources, study.folder)
    if files is not None and files.problem is not None:
        raise files.problem
    return study


def default_workers(threads: int, gpus: float) -> int:
    """Jobs at a time where nobody says how many."""
    if gpus:
        return 1
    return max(1, cores() // threads)
