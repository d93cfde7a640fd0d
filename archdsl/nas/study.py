"""A study: the board of a search. Trials first, then the claims, then the test of the winner, once."""

from __future__ import annotations

import os
import platform
import time
from contextlib import ExitStack
from datetime import datetime
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.nas import storage as stores
from archdsl.nas.beside import Beside
from archdsl.nas.board import Pause
from archdsl.nas.findings import Findings
from archdsl.nas.jobs import Failure, Job, Report
from archdsl.nas.plan import COUNTED, MEASURED, SearchPlan
from archdsl.nas.records import Record
from archdsl.nas.results import Results, State, Winner
from archdsl.nas.storage import Store
from archdsl.nas.trials import Trials
from archdsl.nas.watch import Watcher

SEARCH = "search"
CLOCK = "clock"
WINNERS = "winners"
ENDED = "ended"
WINNER = "winner"
TEXT = "search.search"


class _Phase(Enum):
    SEARCH = "search"
    CLAIMS = "claims"
    TEST = "test"
    OVER = "over"


class Study:
    """The board of a search, and what it holds. Made by `open`; a context manager.

    The storage is the only truth and this the only one who writes it: what is recorded is kept when the
    driver is killed, and a study opened again goes on where it was.
    """

    def __init__(
        self,
        plan: SearchPlan,
        folder: Path,
        store: Store,
        held: ExitStack,
        workers: int,
        executor: str,
        watcher: Watcher | None,
    ) -> None:
        self.plan = plan
        self.folder = folder
        self._store = store
        self._held = held
        self._watcher = watcher
        attributes = store.attributes()
        self._attributes = attributes
        self._before = float(attributes.get(CLOCK, 0.0))
        self._since = time.monotonic()
        self._phase = _Phase.SEARCH
        self._closed = False
        self._beside = Beside(store, attributes, self.clock, frozenset({WINNER}))
        self._trials = Trials(plan, store, folder, workers, executor, self.clock, self._changed)
        self._before = max(
            self._before, *(r.progress.clock for r in self._trials.records.values()), self._beside.latest
        )
        self._findings = Findings(plan, store, attributes, self._beside, folder, self._say)
        self._winner: Record | None = None

    @classmethod
    def open(
        cls,
        plan: SearchPlan,
        folder: Path,
        *,
        storage: str | None = None,
        resume: bool = False,
        workers: int = 1,
        watcher: Watcher | None = None,
        executor: str = "local",
    ) -> Study:
        """Opens the study of a search, or begins it.

        Args:
            plan: the search.
            folder: of the study.
            storage: None for SQLite in the folder, `memory`, or the URL of a database.
            resume: go on with a study that is there; where none is, one begins.
            workers: jobs at a time.
            watcher: is told what happens.
            executor: its name, recorded with the trials.

        Raises:
            DiagnosticError: E411 where a study is there and is not to be resumed, or is another search's;
                E412 where another driver works on it; E413 where the storage can't be used.
        """
        folder = Path(folder).resolve()
        with ExitStack() as stack:
            directions = [o.direction for o in plan.objectives]
            store = stack.enter_context(stores.opened(folder, plan.name, directions, storage))
            _identify(plan, store, folder, resume, executor)
            study = cls(plan, folder, store, stack, workers, executor, watcher)
            study._held = stack.pop_all()
        if watcher is not None:
            watcher.began(plan, study.results())
        return study

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def clock(self) -> float:
        """Seconds that drivers have been at work on this study."""
        return self._before + time.monotonic() - self._since

    def close(self) -> None:
        """Ends the driver's work; the study can be resumed, and its results can still be read."""
        if self._closed:
            return
        self._closed = True
        try:
            self._store.set(CLOCK, self.clock())
        finally:
            self._held.close()
        if self._watcher is not None:
            self._watcher.ended(self.results())

    def next(self) -> Job | Pause:
        """See `Board.next`."""
        while self._phase is not _Phase.OVER:
            job, busy = self._ask()
            if job is not None:
                if self._watcher is not None:
                    self._watcher.started(job)
                return job
            if busy:
                return Pause.WAIT
            self._advance()
        return Pause.OVER

    def report(self, job_id: str, report: Report) -> bool:
        """See `Board.report`."""
        if (number := _trial(job_id)) is not None:
            return self._trials.report(number, report)
        goes_on = self._beside.report(job_id, report)
        self._judge()
        return goes_on

    def progress(self, job_id: str, epoch: float) -> None:
        """See `Board.progress`."""
        if self._watcher is not None:
            self._watcher.progressed(job_id, epoch)

    def failed(self, job_id: str, failure: Failure) -> None:
        """See `Board.failed`."""
        if (number := _trial(job_id)) is not None:
            self._trials.failed(number, failure)
            return
        self._beside.failed(job_id, failure)
        self._say(f"{job_id} failed: {failure.kind}: {failure.message}")
        self._judge()

    def lost(self, job_id: str, reason: str) -> bool:
        """See `Board.lost`."""
        number = _trial(job_id)
        again = self._beside.lost(job_id, reason) if number is None else self._trials.lost(number, reason)
        self._say(f"{job_id} was lost: {reason}" + ("; it is run again" if again else ""))
        self._judge()
        return again

    def results(self) -> Results:
        """What is recorded."""
        records = self._trials.records
        info = self._attributes[SEARCH]
        return Results(
            self.plan.name,
            self.plan.source.text,
            self.plan.objectives,
            tuple(records[n].trial() for n in sorted(records)),
            tuple(r.number for r in self._ranked()),
            tuple(self._findings.results[n] for n in sorted(self._findings.results)),
            self._found(),
            {**info["conditions"], "seconds": f"{self.clock():.0f}", **self._attributes.get(ENDED, {})},
            self._phase is _Phase.OVER,
            self._trials.draws - len(records),
        )

    def _ask(self) -> tuple[Job | None, bool]:
        """A job of the present phase, and whether others are out."""
        if self._phase is _Phase.SEARCH:
            if self.plan.space.count == 1:
                return None, False
            return self._trials.next(), self._trials.busy
        return self._beside.next(), self._beside.busy

    def _advance(self) -> None:
        """Goes to the next phase."""
        if self._phase is _Phase.SEARCH:
            if self._trials.exhausted:
                self._say(f"the search ends: {self._trials.exhausted}")
            self._phase = _Phase.CLAIMS
            self._findings.begin(self._trials.records.values())
            self._judge()
        elif self._phase is _Phase.CLAIMS:
            self._phase = _Phase.TEST
            self._begin_test()
        else:
            self._phase = _Phase.OVER
            self._attributes[ENDED] = {"ended": _now()}
            self._store.set(ENDED, self._attributes[ENDED])

    def _begin_test(self) -> None:
        """Fixes the winner, then has it tested. A study that went on with a larger budget may have another
        winner, which is tested as well; the earlier ones stay on record."""
        ranked = self._ranked_for_winning()
        if not ranked:
            return
        self._winner = ranked[0]
        chosen = list(self._attributes.get(WINNERS, []))
        if chosen[-1:] != [self._winner.number]:
            chosen.append(self._winner.number)
            self._store.set(WINNERS, chosen)
            self._attributes[WINNERS] = chosen
        subject = self._winner.subject
        self._beside.add(
            Job(
                WINNER, subject.arch, subject.task, self.plan.seeds, self.plan.rungs[-1:], (),
                str(self.folder / "trials" / self._winner.job), "test",
                None, self.plan.limit.memory,
            )
        )  # fmt: skip
        self._say(f"trial {self._winner.number} is the winner; its test begins")

    def _ranked(self) -> list[Record]:
        """The front, best in the first objective first."""
        return sorted(self._trials.front, key=lambda r: (*self._losses(r, 0), r.number))

    def _ranked_for_winning(self) -> list[Record]:
        """The front, best in the first score first, then in the other objectives, then the smallest."""
        scores = [i for i, o in enumerate(self.plan.objectives) if o.metric not in (*COUNTED, *MEASURED)]
        first = scores[0] if scores else 0
        return sorted(self._trials.front, key=lambda r: (*self._losses(r, first), r.subject.params, r.number))

    def _losses(self, record: Record, first: int) -> list[float]:
        values = record.values
        losses = [-values[o.text] if o.maximize else values[o.text] for o in self.plan.objectives]
        return [losses.pop(first), *losses]

    def _found(self) -> Winner | None:
        """The winner: the one that was fixed, else the one that leads."""
        if self._winner is None:
            ranked = self._ranked_for_winning()
            return Winner(ranked[0].trial()) if ranked else None
        trial = self._winner.trial()
        progress = self._beside.progress(WINNER)
        if progress.state is not State.COMPLETE:
            return Winner(trial)
        report = progress.reports[-1]
        return Winner(trial, report.values, tuple(report.seeds))

    def _judge(self) -> None:
        if self._phase is _Phase.CLAIMS:
            for claim in self._findings.decided():
                if self._watcher is not None:
                    self._watcher.claimed(claim)

    def _changed(self, record: Record) -> None:
        if self._watcher is not None:
            self._watcher.changed(record.trial())

    def _say(self, text: str) -> None:
        if self._watcher is not None:
            self._watcher.said(text)


def _trial(job_id: str) -> int | None:
    """The number of the trial whose job it is; None for other jobs."""
    name, _, number = job_id.partition("-")
    return int(number) if name == "trial" else None


def _identify(plan: SearchPlan, store: Store, folder: Path, resume: bool, executor: str) -> None:
    """Sees to it that the study is this search's, and writes down what it is where it is new.

    The text and the identity are one commit, so a study without them was killed at its birth and is new.
    """
    known = store.attributes().get(SEARCH)
    if known is None:
        store.set(SEARCH, _description(plan, executor))
        if store.place != stores.MEMORY:
            (folder / TEXT).write_text(plan.source.text, encoding="utf-8")
        return
    if not resume:
        raise DiagnosticError(
            Diagnostic(
                "E411",
                f"there is a study of `{known['name']}` already",
                label=store.place,
                help="go on with it: --resume; or give this one a folder of its own: --out",
            )
        )
    if known["identity"] != plan.identity:
        raise DiagnosticError(
            Diagnostic(
                "E411",
                "the study there is another search's",
                label=store.place,
                notes=(
                    "budget, limits and claims may change from one driver to the next, nothing else",
                    f"the search it belongs to: {folder / TEXT}",
                ),
                help="give this search a folder of its own with --out",
            )
        )


def _description(plan: SearchPlan, executor: str) -> dict[str, Any]:
    return {
        "name": plan.name,
        "identity": plan.identity,
        "text": plan.source.text,
        "objectives": [[o.metric, o.maximize, o.batch] for o in plan.objectives],
        "conditions": {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            **{name: _version(name) for name in ("archdsl", "torch", "timm", "optuna")},
            "executor": executor,
            "began": _now(),
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
