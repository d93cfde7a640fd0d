"""A trial as the driver keeps it, and as JSON in the storage: what it is, and how far it is.

A trial of the storage has two user attributes. `candidate` is written when the trial is made and never
again. `record` is written whole at every report and at the end, in one commit, so that there is nothing
between one state and the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archdsl.nas.jobs import Failure, Report
from archdsl.nas.results import State, Trial
from archdsl.nas.space import Candidate, Choice, Refusal

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

CANDIDATE = "candidate"
RECORD = "record"
RESTARTS = 2
"""How often a job is run again whose process was gone without a word."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a trial is about.

    Args:
        arch: canonical text; empty where it was refused.
        draw: number of the draw that proposed it.
        round: of proposals, from 0; a later round knows how the earlier ones ended.
        executor: who runs it.
        predicted: times by `Objective.text`, for objectives with a table.
    """

    point: dict[str, Choice]
    changes: dict[str, str]
    arch: str
    task: str
    digest: str
    key: str
    params: int
    macs: int
    draw: int
    round: int
    executor: str
    predicted: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Candidate | Refusal, task: str, draw: int, round_: int, executor: str) -> Subject:
        """That of a candidate, or of one that was refused."""
        point, changes = dict(found.point), dict(found.changes)
        if isinstance(found, Refusal):
            return cls(point, changes, "", task, "", "", 0, 0, draw, round_, executor)
        architecture = found.architecture
        return cls(
            point, changes, architecture.to_source(), task, architecture.digest(), found.key,
            found.params, found.macs, draw, round_, executor, dict(found.predicted),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """JSON data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Progress:
    """How far an evaluation is.

    Args:
        state: running, or how it ended.
        reason: why it was stopped, failed or refused.
        detail: a traceback, or nothing.
        reports: in the order of the rungs.
        lost: how often its process was gone without a word.
        clock: seconds that the search had been running when this was written.
    """

    state: State = State.RUNNING
    reason: str = ""
    detail: str = ""
    reports: list[Report] = field(default_factory=list)
    lost: int = 0
    clock: float = 0.0

    @property
    def epochs(self) -> int:
        """Epochs trained, for each seed."""
        return self.reports[-1].epoch if self.reports else 0

    def at(self, epoch: int) -> Report | None:
        """The report of that rung, if there was one."""
        return next((r for r in self.reports if r.epoch == epoch), None)

    def again(self, clock: float) -> Progress:
        """The same at another time, to be changed."""
        return Progress(self.state, self.reason, self.detail, self.reports, self.lost, clock)

    def reported(self, report: Report, clock: float) -> Progress:
        """The same with one more report."""
        after = self.again(clock)
        after.reports = [*self.reports, report]
        return after

    def fail(self, failure: Failure) -> None:
        """Ends it."""
        self.state = State.FAILED
        self.reason = f"{failure.kind}: {failure.message}"
        self.detail = failure.detail

    def lose(self, reason: str) -> None:
        """Its process is gone; ends it where that happened too often."""
        self.lost += 1
        if self.lost > RESTARTS:
            self.fail(Failure("killed", f"its process was lost {self.lost} times, at last: {reason}"))

    def to_json(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "state": self.state.value,
            "reason": self.reason,
            "detail": self.detail,
            "reports": [r.to_dict() for r in self.reports],
            "lost": self.lost,
            "clock": self.clock,
        }

    @classmethod
    def from_json(cls, d: Mapping[str, Any]) -> Progress:
        """The inverse of `to_json`."""
        reports = [Report.from_dict(r) for r in d["reports"]]
        return cls(State(d["state"]), d["reason"], d["detail"], reports, d["lost"], d["clock"])


@dataclass(slots=True)
class Record:
    """A trial of the driver.

    Args:
        number: in the study.
        id: in the database, by which a running one is written; -1 for others.
        handle: among the proposals; -1 for what was refused.
    """

    number: int
    id: int
    handle: int
    subject: Subject
    progress: Progress

    @property
    def job(self) -> str:
        """Id of its job."""
        return f"trial-{self.number}"

    @property
    def counted(self) -> dict[str, float]:
        """What needs no training; nothing for what was refused."""
        if self.progress.state is State.REFUSED:
            return {}
        found = {"params": float(self.subject.params), "macs": float(self.subject.macs)}
        return {**found, **self.subject.predicted}

    @property
    def values(self) -> dict[str, float]:
        """By `Objective.text`: what is counted, and what was reported last."""
        return {**self.counted, **(self.progress.reports[-1].values if self.progress.reports else {})}

    def trial(self) -> Trial:
        """As others see it."""
        s, p = self.subject, self.progress
        return Trial(
            self.number, p.state, p.reason, s.point, s.changes, s.digest, s.key, s.params, s.macs,
            self.values, tuple(p.reports), sum(r.seconds for r in p.reports), s.task, s.executor,
            s.arch,
        )  # fmt: skip


def read(trial: FrozenTrial) -> Record | None:
    """A trial of the storage; None where it is none of ours."""
    subject = trial.user_attrs.get(CANDIDATE)
    record = trial.user_attrs.get(RECORD)
    if subject is None or record is None:
        return None
    return Record(trial.number, -1, -1, Subject(**subject), Progress.from_json(record))
