"""The claims of a search: what could be found is stated first, then both sides are run, then it is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from archdsl.nas import claims
from archdsl.nas.beside import Beside
from archdsl.nas.jobs import Job
from archdsl.nas.plan import COUNTED, MEASURED, ClaimPlan, Comparison, Objective, SearchPlan, Side
from archdsl.nas.records import Record
from archdsl.nas.results import ClaimResult, State
from archdsl.nas.space import Candidate
from archdsl.nas.storage import Store

STATED = "detectable"
PAIRS = 2
"""Seeds of a claim, where the search repeats less."""


class Findings:
    """The claims of a study.

    Sides that stand for the same candidate are run once. A counted metric needs no run. A measured one gets a
    job for every seed, so that it is measured as often.

    Args:
        attributes: of the study, as stored.
        beside: who keeps the jobs.
        said: takes lines for users.
    """

    def __init__(
        self,
        plan: SearchPlan,
        store: Store,
        attributes: Mapping[str, Any],
        beside: Beside,
        folder: Path,
        said: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._store = store
        self._stated: dict[str, list[float | None]] = dict(attributes.get(STATED, {}))
        self._beside = beside
        self._folder = folder
        self._said = said
        self._seeds = plan.seeds if len(plan.seeds) >= PAIRS else tuple(range(PAIRS))
        self._jobs: dict[tuple[int, int, str], tuple[str, ...]] = {}
        self._known: dict[tuple[str, tuple[tuple[str, int], ...], tuple[int, ...]], str] = {}
        self._candidates: dict[tuple[tuple[str, str], ...], Candidate] = {}
        self.results: dict[int, ClaimResult] = {}

    def begin(self, trials: Iterable[Record]) -> None:
        """States what can be found, given the spread that the search's trials show, and plans the runs."""
        known = [r for r in trials if r.progress.state is State.COMPLETE]
        fresh = [c for c in self._plan.claims if self._key(c) not in self._stated]
        for claim in fresh:
            level = claims.share(claims.LEVEL, len(claim.comparisons))
            self._stated[self._key(claim)] = [self._detectable(c, level, known) for c in claim.comparisons]
        if fresh:
            self._store.set(STATED, self._stated)
        for number, claim in enumerate(self._plan.claims):
            for line, comparison in enumerate(claim.comparisons):
                self._announce(claim, comparison, self._stated[self._key(claim)][line])
                for name, side in (("left", comparison.left), ("right", comparison.right)):
                    self._jobs[number, line, name] = self._planned(f"claim-{number}-{line}-{name}", side)

    def decided(self) -> list[ClaimResult]:
        """Claims whose runs are over since this was asked last."""
        new = []
        for number, claim in enumerate(self._plan.claims):
            jobs = [j for (n, _, _), ids in self._jobs.items() if n == number for j in ids]
            over = all(self._beside.progress(j).state is not State.RUNNING for j in jobs)
            if number not in self.results and over:
                self.results[number] = self._judged(number, claim)
                new.append(self.results[number])
        return new

    def _planned(self, name: str, side: Side) -> tuple[str, ...]:
        """Ids of the jobs behind a side, which are added where they are new."""
        if side.metric in COUNTED:
            return ()
        candidate = self._candidate(side)
        measures = ((side.metric, side.batch or 1),) if side.metric in MEASURED else ()
        each = [(s,) for s in self._seeds] if measures else [self._seeds]
        ids = []
        for number, seeds in enumerate(each):
            known = candidate.key, measures, seeds
            if known not in self._known:
                job_id = f"{name}-{number}" if measures else name
                self._known[known] = job_id
                self._beside.add(
                    Job(
                        job_id, candidate.architecture.to_source(), candidate.task.text(), seeds,
                        self._plan.rungs, measures, str(self._folder / "trials" / job_id),
                        "validation", self._plan.limit.seconds, self._plan.limit.memory,
                    )
                )  # fmt: skip
            ids.append(self._known[known])
        return tuple(ids)

    def _candidate(self, side: Side) -> Candidate:
        if side.changes not in self._candidates:
            self._candidates[side.changes] = self._plan.candidates.with_changes(dict(side.changes))
        return self._candidates[side.changes]

    def _judged(self, number: int, claim: ClaimPlan) -> ClaimResult:
        sides = [
            (self._runs(number, line, "left", c.left), self._runs(number, line, "right", c.right))
            for line, c in enumerate(claim.comparisons)
        ]
        stated = [math.nan if d is None else d for d in self._stated[self._key(claim)]]
        return claims.decide(claim, sides, stated)

    def _runs(self, number: int, line: int, name: str, side: Side) -> claims.Runs:
        if side.metric in COUNTED:
            counted = float(getattr(self._candidate(side), side.metric))
            return claims.Runs((counted,) * len(self._seeds))
        values: list[float] = []
        text = Objective(side.metric, maximize=True, batch=side.batch).text
        for job in self._jobs[number, line, name]:
            progress = self._beside.progress(job)
            if progress.state is not State.COMPLETE:
                return claims.Runs((), progress.reason)
            report = progress.reports[-1]
            found = [report.values] if side.metric in MEASURED else report.seeds
            if any(text not in v for v in found):
                return claims.Runs((), f"the task reports no {text}")
            values.extend(v[text] for v in found)
        return claims.Runs(tuple(values))

    def _detectable(self, comparison: Comparison, level: float, known: Sequence[Record]) -> float | None:
        """The smallest difference likely to be found; None where nothing is known of the spread."""
        sides = [s for s in (comparison.left, comparison.right) if s.metric not in COUNTED]
        if not sides:
            return 0.0
        reports = [r.progress.reports[-1] for r in known]
        metric = sides[0].metric
        if metric in MEASURED:
            return None
        groups = [[s[metric] for s in r.seeds if metric in s] for r in reports]
        deviation = claims.seed_deviation(groups)
        images = self._plan.task.images
        if deviation is None and images is not None and metric == "accuracy":
            best = max((r.values[metric] for r in reports if metric in r.values), default=0.5)
            deviation = claims.binomial_deviation(min(max(best, 0.0), 1.0), images[1])
        return None if deviation is None else claims.detectable(len(self._seeds), deviation, level)

    def _announce(self, claim: ClaimPlan, comparison: Comparison, detectable: float | None) -> None:
        if detectable is None:
            found = "how large a difference can be found is not known beforehand"
        elif detectable == 0:
            found = "both sides are counted"
        else:
            found = f"{len(self._seeds)} seeds find a difference of {detectable:.2g} four times out of five"
        self._said(f'claim "{claim.finding}": {comparison.text}: {found}')

    def _key(self, claim: ClaimPlan) -> str:
        lines = "; ".join(c.text for c in claim.comparisons)
        return f"{claim.finding}: {lines} ({len(self._seeds)} seeds)"
