"""The search itself: propose, refuse, know again, hand out, take reports, stop early, record.

The storage is written first, then what is kept here. The commits of a trial, in order:

1. made, with its parameters, what it is about, and `running`. Only then it is handed out. Killed before:
   the draw is made again and comes out the same. Killed after: it is handed out again, same number, same
   folder.
2. each report, with the decision that it brought: go on, stopped, complete. Killed before: the report is
   sent again and decided again, on the same record. Killed after: the report is known, and the answer is
   the recorded one. This commit ends the trial where it ends.
3. Optuna's own state and values. Killed before: made good when the study is opened.

The counters of the budget are sums over what is recorded, so nothing can be counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archdsl.nas.beside import clean
from archdsl.nas.halving import place
from archdsl.nas.jobs import Failure, Job, Report
from archdsl.nas.plan import SearchPlan
from archdsl.nas.proposals import Proposal, Proposals, pruned, restored, running
from archdsl.nas.records import CANDIDATE, RECORD, Progress, Record, Subject, read
from archdsl.nas.results import State
from archdsl.nas.space import Candidate, Refusal
from archdsl.nas.standing import Standing
from archdsl.nas.storage import Store
from archdsl.nas.untried import DRAWS, Untried

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FRUITLESS = 8
"""Draws in a row that bring nothing new, after which points are drawn evenly."""

_Drawn = tuple[Proposal, Candidate | Refusal | None]


class Trials:
    """The trials of a study.

    Args:
        store: where they are recorded.
        folder: of the study.
        workers: jobs at a time; a round of proposals has as many, where rounds are kept.
        executor: its name, recorded with each trial.
        clock: seconds that the search has been running, earlier drivers included.
        changed: is told of every trial that was refused, reported or ended.
    """

    def __init__(
        self,
        plan: SearchPlan,
        store: Store,
        folder: Path,
        workers: int,
        executor: str,
        clock: Callable[[], float],
        changed: Callable[[Record], None],
    ) -> None:
        self._plan = plan
        self._store = store
        self._folder = folder
        self._executor = executor
        self._clock = clock
        self._changed = changed
        self._ordered = plan.synchronous or workers == 1
        self._workers = workers
        self._proposals = Proposals(plan)
        self.records: dict[int, Record] = {}
        self._round: list[Record] = []
        self._round_number = 0
        self._again: list[Record] = []
        self._running = 0
        self._taken = 0
        self._untried = Untried(plan.space, plan.candidates, plan.whole)
        self._grid = plan.sampler.name == "grid"
        self.standing = Standing(plan.objectives, len(plan.seeds))
        self._last_taken = -1
        self.draws = 0
        self.exhausted = ""
        self._recall()

    @property
    def busy(self) -> bool:
        """Whether a job is out, or is to be handed out again."""
        return self._running > 0

    def next(self) -> Job | None:
        """A job, or None where none may start now; where none is out either, the search is over."""
        if self._again:
            return self._job(self._again.pop(0))
        if not self._may_propose():
            return None
        record = self._propose()
        return None if record is None else self._job(record)

    def report(self, number: int, report: Report) -> bool:
        """See `Board.report`."""
        record = self.records[number]
        progress = record.progress
        if progress.state is not State.RUNNING:
            return False
        if progress.at(report.epoch) is not None:
            return True
        if report.epoch not in self._plan.rungs:
            raise ValueError(f"trial {number} reports at epoch {report.epoch}, which is no rung")
        after = progress.reported(report, self._clock())
        losses = self.standing.losses(record, report)
        if isinstance(losses, Failure):
            after.fail(losses)
        elif report.epoch == self._plan.rungs[-1]:
            after.state = State.COMPLETE
        elif self._plan.halving is not None:
            before = record.subject.round if self._ordered else None
            rivals = self.standing.rivals(report.epoch, before)
            stand = place(losses, rivals, self._plan.halving.eta)
            if not stand.goes_on:
                after.state = State.STOPPED
                after.reason = (
                    f"place {stand.position} of {stand.of} at epoch {report.epoch}, "
                    f"where the first {'goes' if stand.places == 1 else f'{stand.places} go'} on"
                )
        self._write(record, after)
        return after.state is State.RUNNING

    def failed(self, number: int, failure: Failure) -> None:
        """See `Board.failed`."""
        record = self.records[number]
        if record.progress.state is State.RUNNING:
            after = record.progress.again(self._clock())
            after.fail(failure)
            self._write(record, after)

    def lost(self, number: int, reason: str) -> bool:
        """See `Board.lost`."""
        record = self.records[number]
        if record.progress.state is not State.RUNNING:
            return False
        after = record.progress.again(self._clock())
        after.lose(reason)
        self._write(record, after)
        return after.state is State.RUNNING

    def _job(self, record: Record) -> Job:
        plan = self._plan
        return Job(
            record.job, record.subject.arch, record.subject.task, plan.seeds, plan.rungs,
            tuple((o.metric, o.batch or 1) for o in plan.objectives if o.measured),
            str(self._folder / "trials" / record.job), "validation", plan.limit.seconds, plan.limit.memory,
        )  # fmt: skip

    def _may_propose(self) -> bool:
        """Whether budget and round leave room. Begins a new round where the old one is over: only then the
        proposals learn how its trials ended."""
        if self.exhausted:
            return False
        if self._ordered and len(self._round) >= self._workers:
            if self._running:
                return False
            for record in self._round:
                self._tell(record)
            self._round = []
            self._round_number += 1
        budget = self._plan.budget
        epochs = self.standing.epochs
        if self._ordered:
            epochs -= sum(r.progress.epochs for r in self._round) * len(self._plan.seeds)
        return not (
            (budget.trials is not None and self._taken >= budget.trials)
            or (budget.seconds is not None and self._clock() >= budget.seconds)
            or (budget.epochs is not None and epochs >= budget.epochs)
        )

    def _propose(self) -> Record | None:
        """A trial nobody tried yet, recorded as running; None where none was found."""
        while True:
            even = not self._grid and self.draws - self._last_taken > FRUITLESS
            drawn = self._even() if even else self._drawn()
            if drawn is None:
                return None
            proposal, found = drawn
            if isinstance(found, Refusal):
                self._refuse(proposal, found)
            elif found is None:
                self._proposals.dropped(proposal)
            else:
                return self._take(proposal, found)
            self.draws += 1

    def _drawn(self) -> _Drawn | None:
        """What the sampler draws, or something new near it. A grid passes over what was tried.

        Where all architectures are known, those that a sampler draws evenly are drawn from them.
        """
        if self._plan.whole is not None and self._proposals.even:
            return self._even()
        proposal = self._proposals.draw(self.draws)
        if proposal is None:
            return None
        found = self._untried.look(proposal.point)
        if found is not None or self._grid:
            return proposal, found
        if self._plan.sampler.name != "random":
            origin = proposal.point if proposal.origin is None else proposal.origin
            near = self._untried.near(origin, self._proposals.beside(self.draws))
            if near is not None:
                return self._proposals.instead(proposal, near.point), near
        self._proposals.dropped(proposal)
        return self._even()

    def _even(self) -> _Drawn | None:
        """A point nobody drew yet, every one as likely; None where none was found."""
        found = self._untried.any(self._proposals.beside(self.draws))
        if found is not None:
            return self._proposals.at(found.point), found
        listed = self._untried.listed
        self.exhausted = "every candidate has been tried" if listed else f"{DRAWS} draws brought nothing new"
        return None

    def _refuse(self, proposal: Proposal, refusal: Refusal) -> None:
        subject = Subject.of(refusal, "", self.draws, self._round_number, self._executor)
        progress = Progress(State.REFUSED, refusal.reason, clock=self._clock())
        attributes = {CANDIDATE: subject.to_json(), RECORD: progress.to_json()}
        id_, number = self._store.create(pruned(proposal, refusal.violation, attributes))
        self._proposals.refused(proposal, refusal.violation)
        record = Record(number, id_, -1, subject, progress)
        self.records[number] = record
        self._untried.enter(refusal.point)
        self._changed(record)

    def _take(self, proposal: Proposal, candidate: Candidate) -> Record:
        subject = Subject.of(candidate, candidate.task.text(), self.draws, self._round_number, self._executor)
        progress = Progress(clock=self._clock())
        attributes = {CANDIDATE: subject.to_json(), RECORD: progress.to_json()}
        id_, number = self._store.create(running(proposal, attributes))
        record = Record(number, id_, self._proposals.taken(proposal), subject, progress)
        self._last_taken = self.draws
        self.draws += 1
        self._enter(record)
        if not self._ordered:
            self._round_number += 1
        return record

    def _enter(self, record: Record) -> None:
        """Counts a trial that was taken."""
        self.records[record.number] = record
        self._untried.enter(record.subject.point, record.subject.key)
        self._taken += 1
        if self._ordered:
            self._round.append(record)
        if record.progress.state is State.RUNNING:
            self._running += 1

    def _write(self, record: Record, after: Progress) -> None:
        """Records how far a trial is; ends it where it ends."""
        self._store.note(record.id, RECORD, after.to_json())
        before = record.progress
        record.progress = after
        self.standing.reported(record, before.epochs)
        if after.state is not State.RUNNING:
            self._close(record)
            self._running -= 1
            if not self._ordered:
                self._tell(record)
            self._tidy(record)
        self._changed(record)

    def _close(self, record: Record) -> None:
        """Gives Optuna the end of a trial: partial values too, so that samplers learn from them; that it was
        stopped stands in the record."""
        from optuna.trial import TrialState

        values = self._final(record)
        self._store.end(record.id, TrialState.FAIL if values is None else TrialState.COMPLETE, values)

    def _final(self, record: Record) -> list[float] | None:
        if record.progress.state not in (State.COMPLETE, State.STOPPED):
            return None
        return [record.values[o.text] for o in self._plan.objectives]

    def _seen(self, record: Record) -> Sequence[float] | None:
        return self._proposals.seen(self._final(record), record.progress.state is State.COMPLETE)

    def _tell(self, record: Record) -> None:
        self._proposals.ended(record.handle, self._seen(record))

    def _tidy(self, record: Record) -> None:
        """Removes the checkpoints of trials that ended and are not on the front."""
        complete = record.progress.state is State.COMPLETE
        for gone in self.standing.complete(record) if complete else [record]:
            clean(self._folder / "trials" / gone.job)

    def _recall(self) -> None:
        """Takes up what the storage holds, and makes good what a kill left undone."""
        from optuna.trial import TrialState

        found: list[tuple[FrozenTrial, Record]] = []
        for trial in self._store.trials():
            record = read(trial)
            if record is not None:
                found.append((trial, record))
            elif not trial.state.is_finished():
                self._store.end(self._store.id_of(trial.number), TrialState.FAIL, None)
        for _, record in found:
            self._round_number = max(self._round_number, record.subject.round)
        for trial, record in found:
            self.draws = max(self.draws, record.subject.draw + 1)
            if record.progress.state is State.REFUSED:
                self._proposals.recalled(trial)
                self.records[record.number] = record
                self._untried.enter(record.subject.point)
                continue
            self._take_up(trial, record)
        self._round = [r for r in self._round if r.subject.round == self._round_number]
        if not self._ordered and found:
            self._round_number += 1

    def _take_up(self, trial: FrozenTrial, record: Record) -> None:
        self._last_taken = max(self._last_taken, record.subject.draw)
        current = record.subject.round == self._round_number
        ended = record.progress.state is not State.RUNNING
        if not trial.state.is_finished():
            record.id = self._store.id_of(trial.number)
            if ended:
                self._close(record)
        told = ended and not (self._ordered and current)
        record.handle = self._proposals.recalled(restored(trial, told, self._seen(record)))
        self._enter(record)
        self.standing.reported(record, 0)
        if ended:
            self._tidy(record)
        else:
            self._again.append(record)
