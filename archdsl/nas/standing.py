"""How the trials of a study stand to one another: at the rungs, and on the front."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archdsl.nas.halving import Losses, dominates
from archdsl.nas.jobs import Failure, Report
from archdsl.nas.plan import Objective, deciding
from archdsl.nas.records import Record


class Standing:
    """What the reports say in the objectives' terms.

    Args:
        objectives: in order.
        seeds: runs behind every trial.
    """

    def __init__(self, objectives: Sequence[Objective], seeds: int) -> None:
        self._objectives = objectives
        self._seeds = seeds
        self._rungs: dict[int, list[tuple[int, int, Losses]]] = {}
        self._front: list[tuple[Losses, Record]] = []
        self.epochs = 0

    def ranked(self) -> list[Record]:
        """The front, complete trials that no other complete one dominates, best in the first objective
        first."""
        return [record for _, _, record in sorted((x, r.number, r) for x, r in self._front)]

    def best(self) -> Record | None:
        """Of the front the one that is best in the deciding objective, then in the others, then the smallest,
        then the oldest."""
        first = self._objectives.index(deciding(self._objectives))

        def merit(entry: tuple[Losses, Record]) -> tuple[Losses, int, int]:
            losses, record = entry
            ordered = (losses[first], *losses[:first], *losses[first + 1 :])
            return ordered, record.subject.params, record.number

        return min(self._front, key=merit)[1] if self._front else None

    def losses(self, record: Record, report: Report) -> Losses | Failure:
        """The objectives at a report, turned so that small is good; or what is wrong with them."""
        values = {**record.counted, **report.values}
        losses = []
        for objective in self._objectives:
            value = values.get(objective.text)
            if value is None:
                return Failure("exception", f"the task reports no {objective.text}")
            if not math.isfinite(value):
                return Failure("nan", f"{objective.text} is {value} at epoch {report.epoch}")
            losses.append(-value if objective.maximize else value)
        return tuple(losses)

    def reported(self, record: Record, since: int) -> None:
        """Counts the reports of a trial behind an epoch."""
        for report in record.progress.reports:
            if report.epoch > since:
                self.epochs += (report.epoch - since) * self._seeds
                since = report.epoch
                losses = self.losses(record, report)
                if not isinstance(losses, Failure):
                    entry = (record.number, record.subject.round, losses)
                    self._rungs.setdefault(report.epoch, []).append(entry)

    def rivals(self, epoch: int, before: int | None) -> list[Losses]:
        """What was reported at a rung, by number of the trial; by trials of rounds before that one alone."""
        return [loss for _, r, loss in sorted(self._rungs.get(epoch, ())) if before is None or r < before]

    def complete(self, record: Record) -> list[Record]:
        """A trial is complete. Returns those that are not on the front any more, or never were."""
        losses = self.losses(record, record.progress.reports[-1])
        if isinstance(losses, Failure) or any(dominates(other, losses) for other, _ in self._front):
            return [record]
        beaten = [r for other, r in self._front if dominates(losses, other)]
        self._front = [(other, r) for other, r in self._front if not dominates(losses, other)]
        self._front.append((losses, record))
        return beaten
