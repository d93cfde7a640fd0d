"""What Ray Tune runs for a job, in an actor on some node."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune
from ray.experimental.internal_kv import _internal_kv_put
from ray.tune.result import SHOULD_CHECKPOINT

from archdsl.nas.evaluation import Evaluation, EvaluationError
from archdsl.nas.executors.ray import checkpoints
from archdsl.nas.jobs import Failure, Job, Report

JOB = "job"
FROM = "start_from"
THREADS = "threads"
CROWDED = "crowded"
REPORT = "report"
FAILURE = "failure"
CHECKPOINT = "checkpoint_dir_name"
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TELL_EVERY = 0.5
"""Seconds between two notes about progress."""


def progress_key(trial: str) -> str:
    """Where the cluster keeps how far a trial is."""
    return f"archdsl/progress/{trial}"


class JobTrainable(tune.Trainable):
    """Carries out one job, a step for each of its reports, in a folder of this node.

    Its config holds the job as a line of JSON (`job`), the folder of a checkpoint to go on from or nothing
    (`start_from`), the number of threads (`threads`) and whether threads of others wait for their cores
    (`crowded`). A job that fails is no failure of the trial: the
    result says so. Every result is behind its checkpoint: what has been reported is in the results folder.
    """

    _job: Job
    _work: Path | None = None
    _reports: Iterator[Report] | None
    _saved: Any
    _spoilt: bool
    _told: float

    def setup(self, config: dict[str, Any]) -> None:
        """Begins with the first job."""
        threads = int(config[THREADS])
        os.environ.update(dict.fromkeys(_LIMITS, str(threads)))  # read when torch is imported
        if config[CROWDED]:
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Goes over to another job, in the same process."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Goes on to the next report. What the task prints is in the job's `log.txt`."""
        if self._spoilt:
            raise MemoryError("memory ran out in this process; it is given up")
        if self._reports is None:
            self._reports = Evaluation(self._job, self._tell).reports()
        with ExitStack() as stack:
            with suppress(OSError):
                log = stack.enter_context(Path(self._job.folder, "log.txt").open("a", encoding="utf-8"))
                stack.enter_context(redirect_stdout(log))
                stack.enter_context(redirect_stderr(log))
            try:
                report = next(self._reports)
            except EvaluationError as error:
                self._spoilt = error.failure.kind == "memory"
                return _failed(error.failure)
        return {**_plain(report), SHOULD_CHECKPOINT: True}

    def train(self) -> dict[str, Any]:
        """A step, and its checkpoint at once, which `save` gives to Ray Tune when that asks for it."""
        result: dict[str, Any] = super().train()
        if result.get(SHOULD_CHECKPOINT):
            self._saved = super().save()
            result[CHECKPOINT] = Path(self._saved.checkpoint.path).name
        return result

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """The checkpoint of the last step."""
        saved, self._saved = self._saved, None
        return saved if saved is not None and checkpoint_dir is None else super().save(checkpoint_dir)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Copies the job's files."""
        checkpoints.collect(self._job, Path(self._job.folder), Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Goes on from the files of a checkpoint."""
        self._reports = None
        checkpoints.unpack(self._job, Path(checkpoint), Path(self._job.folder))

    def cleanup(self) -> None:
        """Leaves nothing on the node."""
        self._reports = None
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)

    def _begin(self, config: dict[str, Any]) -> None:
        job = Job.from_json(config[JOB])
        self.cleanup()
        self._work = Path(self.logdir) / "work"
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        self._job = replace(job, folder=str(self._work))
        self._saved = None
        self._spoilt = False
        self._told = 0.0
        if config[FROM]:
            checkpoints.unpack(job, Path(config[FROM]), self._work)

    def _tell(self, epoch: float) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_EVERY:
            self._told = now
            _internal_kv_put(progress_key(self.trial_id), str(epoch))


def _plain(report: Report) -> dict[str, Any]:
    """Values under their names, for Ray's tables, and the report itself for the driver."""
    return {"epoch": report.epoch, **report.values, REPORT: json.dumps(report.to_dict())}


def _failed(failure: Failure) -> dict[str, Any]:
    text = json.dumps([failure.kind, failure.message, failure.detail])
    return {FAILURE: text, "failed": failure.kind, "reason": failure.message}
