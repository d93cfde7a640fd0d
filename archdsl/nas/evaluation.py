"""One job carried out: runs of all its seeds from rung to rung, with checkpoints, limits and failures.

The folder of a job holds `seed-0.ckpt`, ... and a file for every report. What is found there is gone on from;
what is torn or of another job is done again.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from archdsl.diagnostics import DiagnosticError, Source
from archdsl.graph import load
from archdsl.graph.architecture import Architecture
from archdsl.nas.jobs import Failure, Job, Report
from archdsl.nas.memory import limited, ran_out
from archdsl.nas.plan import Objective
from archdsl.tasks import Run, RunError, Task, read_task
from archdsl.weights.files import write_text

WEIGHTS = "weights.safetensors"
"""In the folder of a job with `split = "test"`: the weights of its first seed."""


class EvaluationError(Exception):
    """A job that has no value, with the reason."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Evaluation:
    """Carries out one job in this process.

    Nothing is loaded before the first report that is not in the folder yet.

    Args:
        job: what to do.
        progress: told how many epochs are done, the mean over the seeds, now and then.
    """

    def __init__(self, job: Job, progress: Callable[[float], None] | None = None) -> None:
        self.job = job
        self.folder = Path(job.folder)
        self._progress = progress
        self._runs: list[Run] = []
        self._used = 0.0
        self._resumed = 0.0

    def reports(self) -> Generator[Report, None, None]:
        """The reports of all rungs in order: those found in the folder, then new ones as they are made.

        Each is in the folder before it is given; the time until the next one is asked for does not count.
        Whoever wants no more closes the iterator.

        Raises:
            EvaluationError: where the job fails; whatever went wrong, this is what is raised.
        """
        known = True
        since = 0
        for rung in self.job.rungs:
            report = self._found(rung) if known else None
            if report is None:
                known = False
                report = self._made(rung, since)
            else:
                self._used += report.seconds
            since = rung
            yield report

    def discard(self) -> None:
        """Removes the checkpoints: for a job that was stopped and will never go on."""
        self._runs.clear()
        for seed in self.job.seeds:
            with suppress(OSError):
                self._checkpoint(seed).unlink()

    def _made(self, rung: int, since: int) -> Report:
        """Trains to a rung; every failure has its kind here."""
        self._resumed = time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with limited(self.job.memory):
                report = self._advanced(rung, since)
                write_text(self._file(rung), self._written(report), sync=False)
        except RunError as error:
            failure = Failure(error.kind, _line(error), _trace(error))
        except DiagnosticError as error:
            first = error.diagnostics[0]
            kind = "data" if first.code == "E418" else "exception"
            failure = Failure(kind, f"{first.code}: {first.message}", _trace(error))
        except (Exception, SystemExit) as error:
            kind = "memory" if ran_out(error) else "exception"
            failure = Failure(
                kind, _line(error, self.job.memory if kind == "memory" else None), _trace(error)
            )
        else:
            self._used += time.monotonic() - self._resumed
            return report
        self._runs.clear()
        raise EvaluationError(failure)

    def _advanced(self, rung: int, since: int) -> Report:
        if not self._runs:
            for stray in self.folder.glob(".*.tmp"):  # of a process that was killed as it wrote
                stray.unlink(missing_ok=True)
            architecture = load(Source(self.job.id, self.job.arch))
            task = read_task(self.job.task)
            for seed in self.job.seeds:
                self._runs.append(self._started(architecture, task, seed, rung))
        for index, run in enumerate(self._runs):
            self._check_time()
            if run.epoch < rung:
                run.advance(rung, self._watch(index))
                run.save(self._checkpoint(self.job.seeds[index]))
        test = self.job.split == "test" and rung == self.job.rungs[-1]
        scores = [dict(run.scores("test" if test else "validation")) for run in self._runs]
        values = {name: _mean(s[name] for s in scores) for name in scores[0]}
        for metric, batch in self.job.measures:
            values[_text(metric, batch)] = self._runs[0].measure(metric, batch)
        self._check_time()
        for name, value in values.items():
            if not math.isfinite(value):
                raise RunError("nan", f"{name} is {value} after {rung} epochs")
        if test:
            self._runs[0].save_weights(self.folder / WEIGHTS)
        seconds = time.monotonic() - self._resumed
        return Report(rung, values, scores, self._curve(since, rung), seconds)

    def _started(self, architecture: Architecture, task: Task, seed: int, rung: int) -> Run:
        """A run, gone on from its checkpoint where that is whole and not past the rung."""
        run = task.start(architecture, seed)
        path = self._checkpoint(seed)
        if not path.exists():
            return run
        try:
            run.restore(path)
        except Exception as error:
            if ran_out(error):
                raise
            print(f"{path.name} can't be gone on from: {_line(error)}", flush=True)
        else:
            if run.epoch <= rung:
                return run
        with suppress(OSError):
            path.unlink()
        return task.start(architecture, seed)

    def _watch(self, index: int) -> Callable[[float], None]:
        """What the run at an index calls while it advances."""

        def told(epoch: float) -> None:
            self._check_time()
            if self._progress is not None:
                done = sum(run.epoch for i, run in enumerate(self._runs) if i != index)
                self._progress((done + epoch) / len(self._runs))

        return told

    def _check_time(self) -> None:
        limit = self.job.seconds
        if limit is not None and self._used + time.monotonic() - self._resumed > limit:
            raise RunError("time", f"took longer than {limit:g} s")

    def _curve(self, since: int, rung: int) -> list[dict[str, float]]:
        """Rows of the epochs behind a rung, means over the seeds; rows and values that all of them have."""
        curves = [{e.epoch: e.values for e in run.curve} for run in self._runs]
        rows = []
        for epoch in sorted(set.intersection(*(set(c) for c in curves))):
            if since < epoch <= rung:
                values = [c[epoch] for c in curves]
                names = [n for n in values[0] if all(n in v for v in values)]
                means = {n: _mean(v[n] for v in values) for n in names}
                rows.append({"epoch": float(epoch), **{n: m for n, m in means.items() if math.isfinite(m)}})
        return rows

    def _checkpoint(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}.ckpt"

    def _file(self, rung: int) -> Path:
        """Of a report. The test's lies beside those of the search, whose folder it shares."""
        test = self.job.split == "test" and rung == self.job.rungs[-1]
        return self.folder / (f"test-{rung}.json" if test else f"report-{rung}.json")

    def _written(self, report: Report) -> str:
        return json.dumps({"of": self._identity(), "report": report.to_dict()}) + "\n"

    def _identity(self) -> str:
        """Of everything that a report follows from."""
        job = self.job
        return hashlib.sha256(json.dumps([job.arch, job.task, job.seeds]).encode()).hexdigest()

    def _found(self, rung: int) -> Report | None:
        """The report of a rung, where the folder holds it whole."""
        path = self._file(rung)
        if path.name.startswith("test-") and not (self.folder / WEIGHTS).exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            report = Report.from_dict(content["report"])
            whole = content["of"] == self._identity() and report.epoch == rung
            whole = whole and all(_text(m, b) in report.values for m, b in self.job.measures)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return report if whole else None


def _text(metric: str, batch: int) -> str:
    return Objective(metric, maximize=True, batch=batch).text


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers)


def _line(error: BaseException, memory: int | None = None) -> str:
    """What happened, in one line for users."""
    if memory is not None:
        return f"needs more memory than its limit of {memory / 1e6:.0f} MB"
    text = " ".join(str(error).split())
    if isinstance(error, RunError):
        return text
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


def _trace(error: BaseException) -> str:
    frames: TracebackType | None = error.__traceback__
    return "".join(traceback.format_exception(type(error), error, frames))
