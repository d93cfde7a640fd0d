"""The board as Ray Tune knows it: a searcher, a scheduler and a callback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from archdsl.nas.executors.ray import checkpoints
from archdsl.nas.executors.ray.steering import Steering
from archdsl.nas.executors.ray.trainable import FAILURE, JOB, REPORT
from archdsl.nas.jobs import Job


class Interrupted(BaseException):
    """The board or the file system has failed: Ray Tune's loop ends at once, without waiting for trials."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class JobSearcher(Searcher):
    """Proposes the board's jobs."""

    def __init__(self, steering: Steering) -> None:
        super().__init__()
        self._steering = steering

    def suggest(self, trial_id: str) -> dict[str, str] | str | None:
        """The config of a trial, `FINISHED`, or None for "ask again"."""
        with _at_once():
            return self._steering.next(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial has ended."""
        with _at_once():
            self._steering.ended(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the only record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the study is the only record."""


class JobScheduler(TrialScheduler):
    """Takes reports to the board and carries out what it says."""

    def __init__(self, steering: Steering) -> None:
        super().__init__()
        self._steering = steering
        self._pending: list[Trial] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A trial is new, or waits for another actor."""
        seat = self._steering.seats[trial.trial_id]
        seat.trial = trial
        self._settle(tune_controller, trial)
        if seat.over:
            self._pending.append(trial)

    def _settle(self, tune_controller: Any, trial: Trial) -> None:
        """Sets what Ray Tune has no option for, or one that costs too much.

        One checkpoint is kept of each trial: asked for in the options, it makes Ray Tune write the state of
        the whole experiment with every checkpoint. Actors stay while the board has no job for them.
        """
        trial.run_metadata.checkpoint_manager.checkpoint_config.num_to_keep = 1
        steering = self._steering
        if steering.controller is None:
            steering.controller = tune_controller._tune_controller
            steering.controller._actor_cache.increase_max(trial.placement_group_factory, steering.workers)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """An actor is gone; Ray Tune will start another one."""
        with _at_once():
            self._steering.lost(trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Goes on or stops."""
        with _at_once():
            return self._steering.result(trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """The searcher is told too."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """The searcher is told too."""

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """None: Ray Tune starts what waits, in order. Ends what waits and is over for the board."""
        while self._pending:
            tune_controller.stop_trial(self._pending.pop())
        return None

    def debug_string(self) -> str:
        """For Ray's own messages."""
        return "archdsl decides"


class JobCallback(Callback):
    """Watches the loop; stands before Ray's loggers, which don't need to see reports."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Looks after the jobs now and then."""
        with _at_once():
            self._steering.look()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has its actor."""
        self._steering.begun = True
        self._steering.seats[trial.trial_id].since = time.monotonic()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Leaves in a result what tables can show."""
        result.pop(REPORT, None)
        result.pop(FAILURE, None)

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A newer checkpoint is known to Ray Tune."""
        checkpoints.forget_before(self._steering.experiment / Path(trial.path or "").name)


@contextmanager
def _at_once() -> Iterator[None]:
    """Lets an error leave Ray Tune's loop, which would take it for a trial's and go on."""
    try:
        yield
    except Exception as error:
        raise Interrupted(error) from error


def job_id(trial: Trial) -> str:
    """Names a trial."""
    return Job.from_json(trial.config[JOB]).id
