"""Those who watch a search: the live table, a log, a notebook."""

from __future__ import annotations

from archdsl.nas.jobs import Job
from archdsl.nas.plan import SearchPlan
from archdsl.nas.results import ClaimResult, Results, Trial


class Watcher:
    """Is told what happens, by the driver's thread, and does nothing: subclasses have the methods that they
    are interested in. These must return at once and may not raise."""

    def began(self, plan: SearchPlan, known: Results) -> None:
        """The search starts, or goes on with what is known."""

    def started(self, job: Job) -> None:
        """A job was handed out."""

    def progressed(self, job_id: str, epoch: float) -> None:
        """A job has so many epochs behind it."""

    def changed(self, trial: Trial) -> None:
        """A trial reported or ended."""

    def claimed(self, claim: ClaimResult) -> None:
        """A claim was decided."""

    def said(self, text: str) -> None:
        """Something worth a line: a phase begins, a worker was lost, a wait."""

    def ended(self, results: Results) -> None:
        """The search is over or was interrupted."""


class Together(Watcher):
    """Watchers that are told the same, in this order."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def began(self, plan: SearchPlan, known: Results) -> None:
        """See `Watcher.began`."""
        for watcher in self._watchers:
            watcher.began(plan, known)

    def started(self, job: Job) -> None:
        """See `Watcher.started`."""
        for watcher in self._watchers:
            watcher.started(job)

    def progressed(self, job_id: str, epoch: float) -> None:
        """See `Watcher.progressed`."""
        for watcher in self._watchers:
            watcher.progressed(job_id, epoch)

    def changed(self, trial: Trial) -> None:
        """See `Watcher.changed`."""
        for watcher in self._watchers:
            watcher.changed(trial)

    def claimed(self, claim: ClaimResult) -> None:
        """See `Watcher.claimed`."""
        for watcher in self._watchers:
            watcher.claimed(claim)

    def said(self, text: str) -> None:
        """See `Watcher.said`."""
        for watcher in self._watchers:
            watcher.said(text)

    def ended(self, results: Results) -> None:
        """See `Watcher.ended`."""
        for watcher in self._watchers:
            watcher.ended(results)
