"""A study: the board of a search. Trials first, then the claims, then the test of the winner, once."""

from __future__ import annotations

import time
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any

from archdsl.diagnostics import DiagnosticError
from archdsl.nas import storage as stores
from archdsl.nas.beside import Beside
from archdsl.nas.board import Pause
from archdsl.nas.findings import Findings
from archdsl.nas.jobs import Failure, Job, Report
from archdsl.nas.plan import SearchPlan
from archdsl.nas.records import Record
from archdsl.nas.results import Results
from archdsl.nas.storage import Store
from archdsl.nas.stored import (
    CLOCK,
    ENDED,
    SEARCH,
    VERDICTS,
    WINNER,
    WINNERS,
    assembled,
    claim_to_json,
    identify,
    now,
    winner,
)
from archdsl.nas.trials import Trials
from archdsl.nas.watch import Watcher


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
        self._fixed = plan.space.count == 1 and not next(iter(plan.space.points()))
        self._closed = False
        self._beside = Beside(store, attributes, self.clock, frozenset({WINNER}))
        self._trials = Trials(plan, store, folder, workers, executor, self.clock, self._changed)
        written = (r.progress.clock for r in self._trials.records.values())
        self._before = max(self._before, self._beside.latest, *written)
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
            identify(plan, store, folder, resume, executor)
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
        try:
            self.close()
        except DiagnosticError:
            if error is None:
                raise

    def clock(self) -> float:
        """Seconds that drivers have been at work on this study."""
        return self._before if self._closed else self._before + time.monotonic() - self._since

    def close(self) -> None:
        """Ends the driver's work; the study can be resumed, and its results can still be read."""
        if self._closed:
            return
        self._before = self.clock()
        self._closed = True
        try:
            self._store.set(CLOCK, self._before)
        finally:
            self._held.close()
            if self._watcher is not None:
                self._watcher.ended(self.results())

    def next(self) -> Job | Pause:
        """See `Board.next`."""
        while self._phase is not _Phase.OVER:
            job, busy = self._ask()
            if job is not None:
                if self._attributes.get(ENDED):
                    self._set(ENDED, {})
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
        claims = self._findings.results
        tested = self._beside.progress(WINNER) if self._winner is not None else None
        return assembled(
            self._attributes[SEARCH],
            self.plan.objectives,
            [records[n] for n in sorted(records)],
            self._trials.standing,
            tuple(claims[n] for n in sorted(claims)),
            winner(self._trials.standing, self._winner, tested),
            {**self._attributes, CLOCK: self.clock()},
            self._trials.draws,
        )

    def _ask(self) -> tuple[Job | None, bool]:
        """A job of the present phase, and whether others are out."""
        if self._phase is _Phase.SEARCH:
            if self._fixed:
                return None, False
            return self._trials.next(), self._trials.busy
        return self._beside.next(), self._beside.busy

    def _advance(self) -> None:
        """Goes to the next phase."""
        if self._phase is _Phase.SEARCH:
            if self._trials.exhausted:
                self._say(f"the search ends: {self._trials.exhausted}")
            self._phase = _Phase.CLAIMS
            if self._attributes.get(VERDICTS):
                self._set(VERDICTS, {})  # the claims may be others by now; the runs behind them are kept
            self._findings.begin(self._trials.records.values())
            self._judge()
        elif self._phase is _Phase.CLAIMS:
            self._phase = _Phase.TEST
            self._begin_test()
        else:
            self._phase = _Phase.OVER
            self._set(ENDED, self._attributes.get(ENDED) or {"ended": now()})

    def _begin_test(self) -> None:
        """Fixes the winner, then has it tested. A study that went on with a larger budget may have another
        winner, which is tested as well; the earlier ones stay on record."""
        self._winner = self._trials.standing.best()
        if self._winner is None:
            return
        chosen = list(self._attributes.get(WINNERS, []))
        if chosen[-1:] != [self._winner.number]:
            chosen.append(self._winner.number)
            self._set(WINNERS, chosen)
        subject = self._winner.subject
        self._beside.add(
            Job(
                WINNER, subject.arch, subject.task, self.plan.seeds, self.plan.rungs[-1:], (),
                str(self.folder / "trials" / self._winner.job), "test",
                None, self.plan.limit.memory,
            )
        )  # fmt: skip
        self._say(f"trial {self._winner.number} is the winner; its test begins")

    def _judge(self) -> None:
        if self._phase is _Phase.CLAIMS:
            decided = self._findings.decided()
            if decided:
                results = self._findings.results
                self._set(VERDICTS, {str(n): claim_to_json(results[n]) for n in sorted(results)})
            for claim in decided:
                if self._watcher is not None:
                    self._watcher.claimed(claim)

    def _set(self, key: str, value: Any) -> None:
        """Sets an attribute of the study."""
        self._store.set(key, value)
        self._attributes[key] = value

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
