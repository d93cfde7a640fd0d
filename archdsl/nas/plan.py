"""A search, read and checked: everything a driver needs to know before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archdsl.diagnostics import Diagnostic, Source, Span
from archdsl.graph.architecture import Architecture
from archdsl.graph.block_times import BlockTimes

if TYPE_CHECKING:
    from archdsl.nas.space import Candidates, Space, Whole
    from archdsl.tasks import Task

MEASURED = ("latency", "throughput")
COUNTED = ("params", "macs")


@dataclass(frozen=True, slots=True)
class Objective:
    """Something to be made large or small.

    Args:
        metric: a score of the task (`accuracy`), `params`, `macs`, `latency` or `throughput`.
        maximize: else it is minimized.
        batch: images at once, for what is measured.
        table: the file of block times, as written, where a latency is their sum and not measured.
        times: what stands in it.
    """

    metric: str
    maximize: bool
    batch: int | None = None
    table: str | None = None
    times: BlockTimes | None = field(default=None, compare=False, repr=False)

    @property
    def text(self) -> str:
        """As the language writes it, also its name in tables: `accuracy`, `latency(batch = 64)`."""
        if self.batch is None:
            return self.metric
        table = "" if self.table is None else f', table = "{self.table}"'
        return f"{self.metric}(batch = {self.batch}{table})"

    @property
    def measured(self) -> bool:
        """Whether it is measured where the task runs."""
        return self.metric in MEASURED and self.table is None

    @property
    def direction(self) -> str:
        """`maximize` or `minimize`, Optuna's words."""
        return "maximize" if self.maximize else "minimize"


def deciding(objectives: Sequence[Objective]) -> Objective:
    """The objective that decides the winner: the first that is a score, else the first."""
    scores = [o for o in objectives if o.metric not in (*MEASURED, *COUNTED)]
    return (scores or list(objectives))[0]


@dataclass(frozen=True, slots=True)
class Sampler:
    """How candidates are proposed: `random`, `grid`, `tpe`, `nsga2` or `evolution`.

    Args:
        population: of `nsga2` and `evolution`; None where the search leaves it open.
        tournament: of `evolution`, see `archdsl.nas.evolution`.
        crossover: of `evolution`, the share of children of two parents.
    """

    name: str = "tpe"
    seed: int = 0
    population: int | None = None
    tournament: int | None = None
    crossover: float = 0.0


@dataclass(frozen=True, slots=True)
class Halving:
    """Early stopping: at each rung but the last, of all that reached it the best `1 / eta` go on.

    Args:
        rungs: epochs, rising; the last is the task's.
        eta: how many compete for one place.
    """

    rungs: tuple[int, ...]
    eta: float = 3.0


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search ends: as soon as one of these is used up. Refused candidates and repeats are free."""

    trials: int | None = None
    seconds: float | None = None
    epochs: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """Bounds on one trial; beyond them it is recorded as failed."""

    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a metric of a variant of the base, plus a number.

    Args:
        metric: as in `Objective`.
        changes: paths and values as text of the language; empty for the base itself.
        plus: added to the metric.
        text: as written.
    """

    metric: str
    changes: tuple[tuple[str, str], ...]
    plus: float
    text: str
    span: Span = field(compare=False, repr=False)
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left > right` (or `<`), over runs with the same seeds."""

    left: Side
    right: Side
    greater: bool
    text: str


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """A finding and the comparisons that have to hold for it."""

    finding: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A `.search` file, checked.

    Args:
        name: of the search.
        source: its text.
        base: the unvaried architecture, with the task's classes and channels.
        space: what is varied; one point where nothing is.
        candidates: from a point to what is trained; knows `require`, cost and keys.
        task: with the fields that the search gives.
        objectives: at least one; see `deciding`.
        rungs: epochs at which a trial reports; the last one is its end. Without halving there is one.
        seeds: of the runs behind every trial, 0 .. n - 1.
        synchronous: propose in rounds of as many as there are workers, so that proposals don't depend on
            timing.
        identity: of all that makes old results comparable; a study is resumed only with the same one. The
            budget, limits and claims are not part of it.
        whole: all architectures of the space; None where they can't be told apart.
    """

    name: str
    source: Source
    base: Architecture
    space: Space
    candidates: Candidates
    task: Task
    objectives: tuple[Objective, ...]
    sampler: Sampler
    halving: Halving | None
    rungs: tuple[int, ...]
    budget: Budget
    limit: Limit
    seeds: tuple[int, ...]
    claims: tuple[ClaimPlan, ...]
    synchronous: bool
    identity: str
    warnings: tuple[Diagnostic, ...] = ()
    whole: Whole | None = None
