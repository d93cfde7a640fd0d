"""Jobs in processes on this machine, one job a process."""

from __future__ import annotations

import math
import selectors
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from archdsl.nas.board import Board, Pause, Resources
from archdsl.nas.executors import messages as m
from archdsl.nas.executors.process import WorkerProcess
from archdsl.nas.jobs import Failure, Job, Report

POLL = 0.5
"""Seconds between two looks at whether workers live, where nothing is heard."""
GRACE = 2.0
"""Seconds beyond a job's time limit, and a tenth of it, in which it should notice that itself."""
MAX_STARTS = 2
"""So many workers in a row may end before they are ready."""
MAX_KILLED_STARTS = 10
"""The same, for those that somebody killed."""


@dataclass(slots=True, eq=False)
class _Seat:
    """A place for a worker, and what it is at.

    Args:
        number: from 0.
        worker: sits there.
        begun: whether it has said that it is ready, ever.
        idle: whether it waits for a job.
        job: what it carries out, until that is over.
        used: seconds of the job behind its last report.
        since: when the job was sent or reported last.
    """

    number: int
    worker: WorkerProcess
    begun: bool = False
    idle: bool = False
    job: Job | None = None
    used: float = 0.0
    since: float = 0.0


class LocalExecutor:
    """Runs jobs in processes of their own, which end with it.

    A job whose process dies is run again from its checkpoints in a fresh one, unless the board has had
    enough of it.
    """

    def __init__(self) -> None:
        self._prepared: list[WorkerProcess] = []

    def prepare(self, resources: Resources, folder: Path) -> None:
        """Starts the workers and returns: what they import is imported meanwhile.

        `close` ends them where `run` is not reached. Nothing is written to the folder.
        """
        while len(self._prepared) < resources.workers:
            self._prepared.append(WorkerProcess(resources, len(self._prepared)))

    def close(self) -> None:
        """Ends the workers that wait for `run`."""
        workers, self._prepared = self._prepared, []
        end(workers)

    def run(self, board: Board, resources: Resources, folder: Path) -> None:
        """Runs jobs until the board says that it is over; no worker is left when it returns or raises.

        Raises:
            DiagnosticError: E414 where workers end before they are ready.
        """
        self.prepare(resources, folder)
        session = _Session(board, resources, [_Seat(n, w) for n, w in enumerate(self._prepared)])
        self._prepared = []
        try:
            session.run()
        finally:
            session.close()


class _Session:
    """One run: the seats, and the jobs that are to be run again."""

    def __init__(self, board: Board, resources: Resources, seats: list[_Seat]) -> None:
        self._board = board
        self._resources = resources
        self._seats = seats
        self._again: deque[Job] = deque()
        self._over = False
        self._waiting = False
        self._failed_starts = 0
        self._selector = selectors.DefaultSelector()
        for seat in seats:
            self._selector.register(seat.worker, selectors.EVENT_READ, seat)

    def run(self) -> None:
        """Until the board has no more jobs and none is running."""
        while True:
            self._hand_out()
            if self._over and not self._again and not any(s.job for s in self._seats):
                return
            for key, _ in self._selector.select(self._patience()):
                self._hear(key.data)
            for seat in self._seats:
                worker = seat.worker
                if worker.gone():
                    self._hear(seat)
                    if seat.worker is worker:
                        self._lost(seat)
                elif self._left(seat) < 0:
                    self._too_slow(seat)

    def close(self) -> None:
        """Ends all workers, whatever they are at."""
        end(seat.worker for seat in self._seats)
        self._selector.close()

    def _hand_out(self) -> None:
        """Gives jobs to those who wait for one."""
        if not any(s.job for s in self._seats):
            self._waiting = False
        for seat in self._seats:
            if seat.idle and (job := self._next()) is not None:
                seat.idle, seat.job = False, job
                seat.used, seat.since = 0.0, time.monotonic()
                seat.worker.send(job)

    def _next(self) -> Job | None:
        if self._again:
            return self._again.popleft()
        if self._over or self._waiting:
            return None
        answer = self._board.next()
        if isinstance(answer, Job):
            return answer
        self._over = answer is Pause.OVER
        self._waiting = True
        return None

    def _hear(self, seat: _Seat) -> None:
        """Passes on what a worker has said."""
        for message in seat.worker.receive():
            match message:
                case m.Ready():
                    seat.begun = seat.idle = True
                    seat.job = None
                    self._failed_starts = 0
                    self._waiting = False
                case m.Progress(epoch) if seat.job is not None:
                    self._board.progress(seat.job.id, epoch)
                case Report() if seat.job is not None:
                    self._reported(seat, seat.job, message)
                case Failure() if seat.job is not None:
                    self._board.failed(seat.job.id, message)
                    seat.job = None
                    self._waiting = False
                    if message.kind == "memory":
                        self._replace(seat)
                        return
                case _:
                    pass

    def _reported(self, seat: _Seat, job: Job, report: Report) -> None:
        go_on = self._board.report(job.id, report)
        seat.used += report.seconds
        seat.since = time.monotonic()
        if not go_on:
            seat.job = None
        self._waiting = False
        seat.worker.send(m.Answer(go_on))

    def _lost(self, seat: _Seat) -> None:
        """A worker died. Its job, if it had one, is run again or given up."""
        if seat.job is not None:
            if self._board.lost(seat.job.id, seat.worker.end_text()):
                self._again.append(seat.job)
            self._waiting = False
        elif not seat.begun:
            self._failed_starts += 1
            if self._failed_starts >= (MAX_KILLED_STARTS if seat.worker.killed() else MAX_STARTS):
                raise seat.worker.cannot_start()
        self._replace(seat)

    def _too_slow(self, seat: _Seat) -> None:
        """A job that is over its time and does not notice it."""
        assert seat.job is not None
        assert seat.job.seconds is not None
        self._board.failed(seat.job.id, Failure("time", f"took longer than {seat.job.seconds:g} s"))
        self._waiting = False
        self._replace(seat)

    def _replace(self, seat: _Seat) -> None:
        """A fresh worker takes the seat, without a job."""
        self._selector.unregister(seat.worker)
        seat.worker.close()
        seat.job, seat.begun, seat.idle = None, False, False
        seat.worker = WorkerProcess(self._resources, seat.number)
        self._selector.register(seat.worker, selectors.EVENT_READ, seat)

    def _left(self, seat: _Seat) -> float:
        """Seconds until a seat's job has to be ended from outside, some time after it should have ended."""
        if seat.job is None or seat.job.seconds is None:
            return math.inf
        allowed = seat.job.seconds * 1.1 + GRACE
        return allowed - seat.used - (time.monotonic() - seat.since)

    def _patience(self) -> float:
        return max(0.0, min(POLL, *(self._left(s) for s in self._seats)))


def end(workers: Iterable[WorkerProcess]) -> None:
    """Ends workers, all of them before it waits for the first."""
    workers = list(workers)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.close()
