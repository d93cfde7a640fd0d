"""Between the driver and its executors: the board hands out jobs and takes what becomes of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from archdsl.nas.jobs import Failure, Job, Report


class Pause(Enum):
    """The answer of a board that has no job now."""

    WAIT = "wait"  # ask again after the next report, failure or end
    OVER = "over"  # there will be no more


class Board(Protocol):
    """Decides what is evaluated next and records what comes back in the study's storage.

    One thread calls it.
    """

    def next(self) -> Job | Pause:
        """A job to be run; recorded as running before it is returned."""
        ...

    def report(self, job_id: str, report: Report) -> bool:
        """Takes a report; False where the job is over, by its last rung or by early stopping: it is
        recorded, the executor ends it. A report that is known already changes nothing and gets the same
        answer."""
        ...

    def progress(self, job_id: str, epoch: float) -> None:
        """Takes note of how far a job is, for those who watch. Not recorded."""
        ...

    def failed(self, job_id: str, failure: Failure) -> None:
        """Records that a job failed for a reason that would come again. The search goes on."""
        ...

    def lost(self, job_id: str, reason: str) -> bool:
        """Its process is gone without a word. True: run the job again, from its checkpoint (the executor
        keeps the job); False: it was lost too often and is recorded as failed."""
        ...


@dataclass(frozen=True, slots=True)
class Resources:
    """What an executor may use.

    Args:
        workers: jobs at a time.
        threads: of one job.
        gpus: of one job, a fraction where several share one.
        address: of a Ray cluster; None starts one here.
        results: where Ray Tune keeps its results; None for `~/ray_results`.
    """

    workers: int
    threads: int = 1
    gpus: float = 0.0
    address: str | None = None
    results: Path | None = None

    @property
    def crowded(self) -> bool:
        """Whether its jobs have more threads than there are cores here: then those that wait should sleep.

        Of PyTorch's threads, that is: else they spin for a while, which is the faster by far where each has a
        core, and slows down the others where not.
        """
        return self.workers * self.threads > cores()


def cores() -> int:
    """Of this machine, those that this process may use."""
    here = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(here(0)) if here else os.cpu_count() or 1


class Executor(Protocol):
    """Runs jobs until the board says that it is over. Ctrl-C ends all jobs and is raised again."""

    def prepare(self, resources: Resources, folder: Path) -> None:
        """Begins what takes long and needs no job, such as starting workers, and returns at once. Need not
        be called before `run`; where it was and `run` is not reached, `close` has to be."""
        ...

    def close(self) -> None:
        """Ends what `prepare` began and `run` did not take over."""
        ...

    def run(self, board: Board, resources: Resources, folder: Path) -> None:
        """Runs jobs; `folder` is the study's, for logs."""
        ...
