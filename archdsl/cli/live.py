"""A search as it goes: a table that changes on a terminal, a line for each event elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from archdsl.cli.front import TrialTable, counts_text
from archdsl.cli.messages import counted
from archdsl.nas.jobs import Job
from archdsl.nas.plan import SearchPlan, deciding
from archdsl.nas.report.words import changes_text, value_text
from archdsl.nas.results import ClaimResult, Results, State, Trial
from archdsl.nas.watch import Watcher

BEST = 5
"""Trials that the live table lists."""
TRIAL = "trial-"
"""How the names of the search's own jobs begin."""
BAR = 32
"""Columns of the budget's bar, at most."""
LINES = 3
"""Of what was said, the last that stay in sight."""


class Quiet(Watcher):
    """Says nothing; keeps the results."""

    def __init__(self) -> None:
        self.results: Results | None = None

    def ended(self, results: Results) -> None:
        """See `Watcher`."""
        self.results = results


class Lines(Quiet):
    """A line for every event, without control codes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._names: list[str] = []

    def began(self, plan: SearchPlan, known: Results) -> None:
        self._names = [o.text for o in plan.objectives]
        self._print(_head(plan))
        if known.trials:
            self._print(f"goes on: {counts_text(known.trials)}")

    def changed(self, trial: Trial) -> None:
        found = ", ".join(f"{n} {value_text(n, trial.values[n])}" for n in self._names if n in trial.values)
        reason = f" ({trial.reason})" if trial.reason else ""
        at = f" after {counted(trial.epochs, 'epoch')}" if trial.epochs else ""
        what = f"{trial.state.value}{at}{reason}"
        line = f"trial {trial.number} {what}: {found or '-'}; {changes_text(trial)}"
        self._print(line)

    def claimed(self, claim: ClaimResult) -> None:
        self._print(f"claim {claim.verdict.value}: {claim.plan.finding}")

    def said(self, text: str) -> None:
        self._print(text)

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


@dataclass(slots=True)
class _Running:
    """A job that is out. The winner's test trains nothing: `epochs` is 0."""

    epochs: int
    epoch: float = 0.0


@dataclass(slots=True)
class _Sight:
    """What the table shows."""

    plan: SearchPlan
    since: float
    trials: dict[int, Trial] = field(default_factory=dict)
    running: dict[str, _Running] = field(default_factory=dict)
    claims: list[ClaimResult] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    before: float = 0.0  # seconds that earlier drivers took
    known: float = 0.0  # share of the budget that they used


class LiveTable(Quiet):
    """Head, budget, running jobs, the best so far, claims. To be used as a context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._sight: _Sight | None = None
        self._lock = Lock()  # the table is drawn by a thread of its own
        self._live = Live(
            console=console, get_renderable=self._draw, refresh_per_second=4, transient=True
        )  # fmt: skip

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def began(self, plan: SearchPlan, known: Results) -> None:
        sight = _Sight(plan, time.monotonic(), {t.number: t for t in known.trials})
        sight.before = float(known.conditions.get("seconds", 0.0))
        sight.known = self._used(sight)
        self._sight = sight

    def started(self, job: Job) -> None:
        with self._lock:
            if self._sight:
                self._sight.running[job.id] = _Running(job.rungs[-1] if job.split != "test" else 0)

    def progressed(self, job_id: str, epoch: float) -> None:
        with self._lock:
            if self._sight and job_id in self._sight.running:
                job = self._sight.running[job_id]
                job.epoch = epoch
                if epoch >= job.epochs and not job_id.startswith(TRIAL):
                    del self._sight.running[job_id]  # of a claim: nobody says that it is over

    def changed(self, trial: Trial) -> None:
        with self._lock:
            if self._sight is None:
                return
            self._sight.trials[trial.number] = trial
            if trial.state is not State.RUNNING:
                self._sight.running.pop(f"{TRIAL}{trial.number}", None)

    def claimed(self, claim: ClaimResult) -> None:
        with self._lock:
            if self._sight:
                self._sight.claims.append(claim)

    def said(self, text: str) -> None:
        with self._lock:
            if self._sight:
                self._sight.lines = [*self._sight.lines, text][-LINES:]

    def _used(self, sight: _Sight) -> float:
        """The share of the budget that is used up, 0 to 1."""
        budget, plan = sight.plan.budget, sight.plan
        ended = [t for t in sight.trials.values() if t.state not in (State.REFUSED, State.RUNNING)]
        epochs = sum(t.epochs for t in sight.trials.values()) * len(plan.seeds)
        epochs_running = sum(
            r.epoch / r.epochs for name, r in sight.running.items() if name.startswith(TRIAL)
        )
        shares = [0.0]
        if budget.trials:
            shares.append((len(ended) + epochs_running) / budget.trials)
        if budget.epochs:
            shares.append(epochs / budget.epochs)
        if budget.seconds:
            shares.append((sight.before + time.monotonic() - sight.since) / budget.seconds)
        return min(1.0, max(shares))

    def _draw(self) -> RenderableType:
        with self._lock:
            if self._sight is None:
                return Text("starting ...", style="dim")
            return self._drawn(self._sight)

    def _drawn(self, sight: _Sight) -> RenderableType:
        spent = time.monotonic() - sight.since
        share = self._used(sight)
        left = ""
        if 0 < sight.known < share or sight.known < share < 1:
            left = f"about {_clock(spent * (1 - share) / (share - sight.known))} left"
        budget = Table.grid(padding=(0, 2, 0, 0))
        times = ", ".join(t for t in (_clock(spent), left) if t)
        budget.add_row(ProgressBar(1.0, share, width=BAR), Text(f"{share:4.0%}", no_wrap=True), Text(times))
        parts: list[RenderableType] = [
            Text(_head(sight.plan), style="bold"), budget, Text(_counts(sight)),
        ]  # fmt: skip
        if sight.running:
            running = Table.grid(padding=(0, 2, 0, 0))
            for name, job in sorted(sight.running.items(), key=lambda item: _order(item[0])):
                title = Text(name, style="cyan", no_wrap=True)
                if not job.epochs:
                    running.add_row(title, Text("its test"))
                    continue
                bar = ProgressBar(job.epochs, min(job.epoch, job.epochs), width=24)
                running.add_row(title, bar, Text(f"{job.epoch:.1f} of {counted(job.epochs, 'epoch')}"))
            parts.append(running)
        best = self._best(sight)
        if best:
            parts.append(TrialTable("best so far", best, sight.plan.objectives))
        parts += [Text(f"{c.verdict.value}: {c.plan.finding}") for c in sight.claims]
        parts += [Text(line, style="dim") for line in sight.lines]
        return Group(*parts)

    def _best(self, sight: _Sight) -> list[Trial]:
        first = deciding(sight.plan.objectives)
        complete = [
            t for t in sight.trials.values() if t.state is State.COMPLETE and first.text in t.values
        ]  # fmt: skip
        complete.sort(key=lambda t: t.values[first.text], reverse=first.maximize)
        return complete[:BEST]


def _head(plan: SearchPlan) -> str:
    goals = ", ".join(f"{o.direction} {o.text}" for o in plan.objectives)
    budget = plan.budget
    parts = [
        counted(budget.trials, "trial") if budget.trials else "",
        counted(budget.epochs, "epoch") if budget.epochs else "",
        _clock(budget.seconds) if budget.seconds else "",
    ]
    allowed = " or ".join(p for p in parts if p)
    told = [f"{plan.name}: {goals}", plan.task.text(), plan.sampler.name, allowed]
    return "; ".join(t for t in told if t)


def _counts(sight: _Sight) -> str:
    """`2 running, 9 complete`; what runs is counted from its start, not from its first report."""
    running = sum(name.startswith(TRIAL) for name in sight.running)
    ended = [t for t in sight.trials.values() if t.state is not State.RUNNING]
    told = [f"{running} running"] if running else []
    return ", ".join([*told, counts_text(ended)] if ended or not told else told)


def _order(job: str) -> tuple[str, int]:
    """`trial-9` before `trial-10`."""
    name, _, number = job.rpartition("-")
    return (name, int(number)) if number.isdecimal() else (job, 0)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
