"""What a study holds, as it was recorded: read by the report, the tables and the claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from archdsl.nas.jobs import Report
from archdsl.nas.plan import ClaimPlan, Objective
from archdsl.nas.space import Point


class State(Enum):
    """What became of a trial."""

    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"  # early, by halving; its values are partial
    FAILED = "failed"
    REFUSED = "refused"  # by shape or `require`; never trained


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate of a study.

    Args:
        number: from 0, in the order of proposals; what was refused has one too.
        reason: why it was stopped, failed or refused.
        point: its choices.
        changes: paths with text of the language.
        digest: of the architecture; empty where it was refused.
        key: see `Candidate`.
        values: by `Objective.text`, of the last report; params and macs from the start.
        reports: one for each rung reached.
        seconds: of evaluation.
        task: text of its task.
        executor: who ran it, `local` or `ray`.
        arch: canonical `.arch` text; empty where it was refused.
    """

    number: int
    state: State
    reason: str
    point: Point
    changes: Mapping[str, str]
    digest: str
    key: str
    params: int
    macs: int
    values: Mapping[str, float]
    reports: tuple[Report, ...] = ()
    seconds: float = 0.0
    task: str = ""
    executor: str = ""
    arch: str = ""

    @property
    def epochs(self) -> int:
        """Epochs trained, for each seed."""
        return self.reports[-1].epoch if self.reports else 0


class Verdict(Enum):
    """What became of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """One comparison, over pairs of runs with the same seed; differences are left minus right, turned so that
    positive ones speak for the claim.

    Args:
        left, right: the metric of each run, as measured: what a side adds is in the differences alone.
        differences: one for each seed.
        mean: of them.
        low, high: the confidence interval of the mean.
        detectable: the smallest true difference found four times out of five, stated before the runs.
        reason: why it is undecided where the runs can't decide it: one failed, or there is no spread.
    """

    text: str
    left: tuple[float, ...]
    right: tuple[float, ...]
    differences: tuple[float, ...]
    mean: float
    low: float
    high: float
    detectable: float
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """A claim with its verdict: supported if all comparisons are, contradicted if one is."""

    plan: ClaimPlan
    comparisons: tuple[ComparisonResult, ...]
    verdict: Verdict
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class Winner:
    """The trial of the front that is best in the deciding objective.

    Args:
        test: scores on the test split, means over the seeds, taken once; empty before that.
        test_seeds: those of each seed.
    """

    trial: Trial
    test: Mapping[str, float] = field(default_factory=dict)
    test_seeds: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Results:
    """A study, as recorded.

    Args:
        name: of the search.
        text: of the `.search` file.
        objectives: in order.
        trials: by number.
        front: numbers of the complete trials that no other complete one dominates, best in the first
            objective first.
        claims: with verdicts, those evaluated so far.
        winner: None while nothing is complete.
        conditions: machine, versions, executor, dates.
        finished: whether the search, its claims and the winner's test are done.
        repeats: proposals that stood for a candidate known already.
        base: canonical `.arch` text of what is varied.
    """

    name: str
    text: str
    objectives: tuple[Objective, ...]
    trials: tuple[Trial, ...]
    front: tuple[int, ...]
    claims: tuple[ClaimResult, ...]
    winner: Winner | None
    conditions: Mapping[str, str]
    finished: bool
    repeats: int = 0
    base: str = ""
