"""Jobs beside the search's trials: the two sides of claims, and the winner's test.

Each is one attribute of the study under its id, written whole, in one commit, when it begins, at every report
and when it ends. A job that stands there unchanged is not run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from archdsl.nas.jobs import Failure, Job, Report
from archdsl.nas.records import Progress
from archdsl.nas.results import State
from archdsl.nas.storage import Store

PREFIX = "job:"


class Beside:
    """Jobs by id.

    Args:
        attributes: of the study, as stored.
        clock: seconds that the search has been running.
        kept: ids whose checkpoints stay.
    """

    def __init__(
        self,
        store: Store,
        attributes: Mapping[str, Any],
        clock: Callable[[], float],
        kept: frozenset[str] = frozenset(),
    ) -> None:
        self._store = store
        self._clock = clock
        self._kept = kept
        self._jobs: dict[str, Job] = {}
        self._progress: dict[str, Progress] = {}
        self._stored = {
            key.removeprefix(PREFIX): (Job.from_json(value["job"]), Progress.from_json(value["progress"]))
            for key, value in attributes.items()
            if key.startswith(PREFIX)
        }
        self._waiting: list[str] = []
        self._out: set[str] = set()

    @property
    def latest(self) -> float:
        """The clock of what was written last."""
        return max((progress.clock for _, progress in self._stored.values()), default=0.0)

    @property
    def busy(self) -> bool:
        """Whether a job is out or waits to be."""
        return bool(self._waiting or self._out)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._jobs

    def add(self, job: Job) -> None:
        """A job to be done, unless it is recorded as over."""
        stored = self._stored.get(job.id)
        self._jobs[job.id] = job
        self._progress[job.id] = Progress()
        if stored is not None and _what(stored[0]) == _what(job):
            self._progress[job.id] = stored[1]
        if self._progress[job.id].state is State.RUNNING:
            self._waiting.append(job.id)

    def recorded(self, job: Job) -> bool:
        """Whether the storage knows of it."""
        stored = self._stored.get(job.id)
        return stored is not None and _what(stored[0]) == _what(job)

    def progress(self, job_id: str) -> Progress:
        """How far a job is."""
        return self._progress[job_id]

    def next(self) -> Job | None:
        """A job, recorded as running."""
        if not self._waiting:
            return None
        job = self._jobs[self._waiting.pop(0)]
        if not self.recorded(job):
            self._write(job.id, self._progress[job.id].again(self._clock()))
        self._out.add(job.id)
        return job

    def report(self, job_id: str, report: Report) -> bool:
        """See `Board.report`."""
        progress = self._progress[job_id]
        if progress.state is not State.RUNNING:
            return False
        if progress.at(report.epoch) is not None:
            return True
        after = progress.reported(report, self._clock())
        if report.epoch == self._jobs[job_id].rungs[-1]:
            after.state = State.COMPLETE
        self._write(job_id, after)
        return after.state is State.RUNNING

    def failed(self, job_id: str, failure: Failure) -> None:
        """See `Board.failed`."""
        if self._progress[job_id].state is State.RUNNING:
            after = self._progress[job_id].again(self._clock())
            after.fail(failure)
            self._write(job_id, after)

    def lost(self, job_id: str, reason: str) -> bool:
        """See `Board.lost`."""
        if self._progress[job_id].state is not State.RUNNING:
            return False
        after = self._progress[job_id].again(self._clock())
        after.lose(reason)
        self._write(job_id, after)
        return after.state is State.RUNNING

    def _write(self, job_id: str, after: Progress) -> None:
        job = self._jobs[job_id]
        self._store.set(PREFIX + job_id, {"job": job.to_json(), "progress": after.to_json()})
        self._stored[job_id] = (job, after)
        self._progress[job_id] = after
        if after.state is not State.RUNNING:
            self._out.discard(job_id)
            if job_id not in self._kept:
                clean(Path(job.folder))


def clean(folder: Path) -> None:
    """Removes the checkpoints of a job that can neither win nor go on; its reports stay."""
    for path in folder.glob("*.ckpt"):
        path.unlink(missing_ok=True)


def _what(job: Job) -> tuple[object, ...]:
    """What a job's values follow from."""
    return job.arch, job.task, job.seeds, job.rungs, job.measures, job.split
