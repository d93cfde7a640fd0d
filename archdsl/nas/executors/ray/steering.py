"""How the board steers Ray Tune: what is out, what comes back, and what becomes of it."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.nas.board import Board, Pause, Resources
from archdsl.nas.executors.ray import checkpoints
from archdsl.nas.executors.ray.trainable import CHECKPOINT, FAILURE, FROM, JOB, REPORT, progress_key
from archdsl.nas.jobs import Failure, Job, Report

GRACE = 10.0
"""Seconds beyond a job's time limit, and a tenth of it, in which it should notice that itself."""
LOOK_EVERY = 0.5
"""Seconds between two looks at how far jobs are."""
MAX_STARTS = 2
"""So many actors may end before the first one has begun."""


@dataclass(slots=True, eq=False)
class _Seat:
    """A trial of Ray Tune.

    Args:
        job: that it carries out.
        over: whether the board wants no more of it.
        since: when it started or reported last; 0 while it waits for an actor.
        used: seconds of the job behind its last report.
        trial: Ray's, once there is one.
    """

    job: Job
    over: bool = False
    since: float = 0.0
    used: float = 0.0
    trial: Trial | None = None


class Steering:
    """The state behind the searcher, the scheduler and the callback.

    Ray Tune copies and pickles what it is given; this stays one.

    Args:
        board: asked by the thread that runs Ray Tune's loop, as all of them are.
        resources: `workers` bounds how many jobs are out.
        experiment: where Ray Tune keeps its results.
    """

    def __init__(self, board: Board, resources: Resources, experiment: Path) -> None:
        self.board = board
        self.workers = resources.workers
        self.experiment = experiment
        self.seats: dict[str, _Seat] = {}
        self.begun = False
        self.controller: Any = None  # Ray Tune's loop, once it runs
        self._again: deque[Job] = deque()
        self._waiting = False
        self._over = False
        self._failed_starts = 0
        self._looked = 0.0

    def close(self) -> None:
        """Removes the notes about progress from the cluster."""
        for trial_id in self.seats:
            _internal_kv_del(progress_key(trial_id))

    def __deepcopy__(self, memo: object) -> Steering:
        return self

    def __reduce__(self) -> tuple[type[_Nothing], tuple[()]]:
        return _Nothing, ()

    def abandon(self) -> None:
        """Ends all trials at once and gives back what they hold, where Ray itself does not end."""
        for seat in self.seats.values():
            _kill(seat)
        if self.controller is not None:
            self.controller.cleanup()

    def next(self, trial_id: str) -> dict[str, str] | str | None:
        """The config of a new trial, Ray's word for the end, or nothing for now."""
        if len(self.seats) >= self.workers:
            return None
        job = self._again.popleft() if self._again else self._asked()
        if job is None:
            return str(Searcher.FINISHED) if self._over and not self.seats else None
        self.seats[trial_id] = _Seat(job)
        start = checkpoints.start_from(job, self.experiment)
        return {JOB: job.to_json(), FROM: str(start or "")}

    def result(self, trial: Trial, result: dict[str, Any]) -> str:
        """Takes what a trial has found, and decides whether it goes on."""
        seat = self.seats[trial.trial_id]
        self._waiting = False
        if FAILURE in result:
            failure = Failure(*json.loads(result[FAILURE]))
            if not seat.over:
                seat.over = True
                self.board.failed(seat.job.id, failure)
            # An actor whose memory ran out ends itself at the next step, and is not used again.
            return str(TrialScheduler.CONTINUE if failure.kind == "memory" else TrialScheduler.STOP)
        if seat.over:  # a report that was on its way
            return str(TrialScheduler.STOP)
        report = Report.from_dict(json.loads(result[REPORT]))
        checkpoints.hand_over(seat.job, self.experiment / Path(trial.path or "").name / result[CHECKPOINT])
        seat.used += report.seconds
        seat.since = time.monotonic()
        if self.board.report(seat.job.id, report):
            return str(TrialScheduler.CONTINUE)
        seat.over = True
        return str(TrialScheduler.STOP)

    def lost(self, trial: Trial) -> None:
        """Takes note that a trial's actor is gone."""
        seat = self.seats[trial.trial_id]
        self._waiting = False
        if seat.over:
            return
        reason = _reason(trial)
        if not self.begun:
            self._failed_starts += 1
            if self._failed_starts >= MAX_STARTS:
                raise _cannot_start(reason)
        seat.since = seat.used = 0.0  # what it had reported comes again, from its checkpoint
        seat.over = not self.board.lost(seat.job.id, reason)

    def ended(self, trial_id: str) -> None:
        """A trial is over for Ray Tune; where it is not for the board, its job is given to another one."""
        seat = self.seats.pop(trial_id)
        self._waiting = False
        _internal_kv_del(progress_key(trial_id))
        if not seat.over:
            self._again.append(seat.job)

    def look(self) -> None:
        """Passes on how far jobs are, and ends those that are over their time and do not notice it."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        for trial_id, seat in self.seats.items():
            if seat.over or not seat.since:
                continue
            epoch = _internal_kv_get(progress_key(trial_id))
            if epoch:
                self.board.progress(seat.job.id, float(epoch))
            limit = seat.job.seconds
            if limit is not None and seat.used + now - seat.since > 1.1 * limit + GRACE:
                self._waiting = False
                seat.over = True
                self.board.failed(seat.job.id, Failure("time", f"took longer than {limit:g} s"))
                _kill(seat)

    def _asked(self) -> Job | None:
        if self._over or (self._waiting and self.seats):
            return None
        answer = self.board.next()
        if isinstance(answer, Job):
            return answer
        self._over = answer is Pause.OVER
        self._waiting = True
        return None


def _kill(seat: _Seat) -> None:
    """Ends its actor."""
    actor = seat.trial.temporary_state.ray_actor if seat.trial else None
    if actor is not None:
        ray.kill(actor)


class _Nothing:
    """What is left of a `Steering` in Ray Tune's own records, which are not gone on from."""


def _reason(trial: Trial) -> str:
    """Why its actor is gone, in a line."""
    try:
        text = Path(trial.error_file or "").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "its actor is gone"
    lines = [line.strip() for line in text.rpartition("Failure #")[2].splitlines()[1:] if line.strip()]
    if not lines:
        return "its actor is gone"
    raised = lines[0].startswith(("ray::", "\x1b[36mray::"))
    return lines[-1 if raised else 0][:300]


def _cannot_start(reason: str) -> DiagnosticError:
    return DiagnosticError(
        Diagnostic(
            "E414",
            "the actors of Ray end before they begin",
            notes=(reason,),
            help="archdsl, and the extensions that the search uses, have to be importable on every node",
        )
    )
