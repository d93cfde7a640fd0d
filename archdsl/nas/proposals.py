"""What is tried next: Optuna's samplers, evolution and a grid, asked on a copy of the study in memory.

The copy makes asking fast, whatever the storage, and makes proposals repeat: every draw has a number, and
its randomness comes from the search's seed and that number alone. A copy rebuilt from the storage therefore
draws as the old one would have.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from archdsl.nas.choosers import Drawn
from archdsl.nas.databases import quiet
from archdsl.nas.evolution import Evolution, Member
from archdsl.nas.plan import Sampler, SearchPlan
from archdsl.nas.space import Alternatives, Choice, Domain, Interval, Point, Space

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler, NSGAIISampler
    from optuna.trial import FrozenTrial, Trial

REFUSED = "require"
"""Name of Optuna's constraint on refused candidates."""
TPE_START = 10
"""Trials that are drawn evenly before TPE has something to go by."""
POPULATION = 20
"""Of NSGA-II, where the search says nothing."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A point that was drawn.

    Args:
        handle: of the draw in the copy; None until it is taken.
        point: its choices.
        parameters: as Optuna stores them.
        distributions: of the parameters.
        marks: system attributes that the sampler left.
        origin: near which another is looked for where this one was tried before; None for near itself.
    """

    handle: int | None
    point: Point
    parameters: Mapping[str, Choice]
    distributions: Mapping[str, BaseDistribution]
    marks: Mapping[str, object]
    origin: Point | None = None


class Proposals:
    """Draws points and is told what became of them.

    Every proposal is followed by one of `dropped`, `taken` or `refused`, and a taken one by `ended`.
    """

    def __init__(self, plan: SearchPlan) -> None:
        import optuna
        from optuna.study import StudyDirection

        self._sampler = plan.sampler
        self._signs = [-1 if o.maximize else 1 for o in plan.objectives]
        self._evolution = Evolution.of(plan.sampler) if plan.sampler.name == "evolution" else None
        self._space: Space = plan.space
        self._refusals = 0
        self._size = 0
        self._grid = enumerate(plan.space.points()) if plan.sampler.name == "grid" else None
        self._memory = optuna.storages.InMemoryStorage()
        with quiet():
            self._copy = optuna.create_study(
                storage=self._memory,
                directions=[StudyDirection[o.direction.upper()] for o in plan.objectives],
                sampler=optuna.samplers.RandomSampler(seed=0),
            )
        self._id = self._memory.get_study_id_from_name(self._copy.study_name)

    def draw(self, number: int) -> Proposal | None:
        """The draw of that number; None where a grid has no more."""
        if self._grid is not None:
            point = next((p for i, p in self._grid if i >= number), None)
            return None if point is None else self.at(point)
        seed = _seed(self._sampler.seed, number)
        if self._evolution is not None:
            return self._evolved(self._evolution, Random(seed))
        with quiet():
            self._copy.sampler = _sampler(self._sampler, seed, self._refusals)
            trial = self._copy.ask()
            point = self._space.draw(_Asked(trial))
            made = self._memory.get_trial_id_from_study_id_trial_number(self._id, trial.number)
            frozen = self._memory.get_trial(made)
        self._size += 1
        return Proposal(trial.number, point, frozen.params, frozen.distributions, frozen.system_attrs)

    @property
    def even(self) -> bool:
        """Whether the next draw goes by nothing that was found."""
        if self._evolution is not None:
            return self._begun < self._evolution.population
        return self._sampler.name == "random"

    @property
    def _begun(self) -> int:
        """How many trials were taken, where no draw is kept that was not."""
        return self._size - self._refusals

    def _evolved(self, evolution: Evolution, random: Random) -> Proposal:
        """Drawn evenly until the population is begun; then a child of what was trained to the end."""
        from optuna.trial import TrialState

        trials = self._memory.get_all_trials(self._id, deepcopy=False)
        complete = (t for t in reversed(trials) if t.state == TrialState.COMPLETE)
        members = [
            Member(t.params, tuple(s * v for s, v in zip(self._signs, t.values, strict=True)))
            for t in islice(complete, evolution.population)
        ][::-1]
        if self.even or not members:
            return self.at(self._space.draw(Drawn(random, {})))
        child, parent = evolution.child(self._space, members, random)
        return replace(self.at(child), origin=parent)

    def at(self, point: Point) -> Proposal:
        """A proposal of a point that no sampler drew."""
        known = _Known(point)
        self._space.draw(known)
        return Proposal(None, point, known.parameters, known.distributions, {})

    def instead(self, proposal: Proposal, point: Point) -> Proposal:
        """Another point in the place of one that was drawn, which is dropped. In NSGA-II it is of the same
        generation."""
        self.dropped(proposal)
        return replace(self.at(point), marks=proposal.marks if self._sampler.name == "nsga2" else {})

    def beside(self, number: int) -> Random:
        """The randomness of what is drawn beside the sampler at the draw of that number."""
        return Random(_seed(self._sampler.seed, -1 - number))

    def dropped(self, proposal: Proposal) -> None:
        """It is not tried."""
        if proposal.handle is not None:
            self.ended(proposal.handle, None)

    def taken(self, proposal: Proposal) -> int:
        """It is being tried; returns its handle."""
        return self._add(running(proposal, {})) if proposal.handle is None else proposal.handle

    def refused(self, proposal: Proposal, violation: float) -> None:
        """It can't be tried, and is off by so much."""
        self.dropped(proposal)
        self._refusals += 1
        self._add(pruned(proposal, violation, {}))

    def seen(self, values: Sequence[float] | None, complete: bool) -> Sequence[float] | None:
        """The values of what was taken that the sampler is to see: those of a trial that was stopped early
        are partial, and are no members of a population."""
        return values if complete or self._evolution is None else None

    def ended(self, handle: int, values: Sequence[float] | None) -> None:
        """What was taken has these values, or none."""
        from optuna.trial import TrialState

        with quiet():
            if values is None:
                self._copy.tell(handle, state=TrialState.FAIL)
            else:
                self._copy.tell(handle, list(values))

    def recalled(self, trial: FrozenTrial) -> int:
        """A trial of the storage joins the copy; returns its handle."""
        from optuna.trial import TrialState

        self._refusals += trial.state == TrialState.PRUNED
        return self._add(trial)

    def _add(self, trial: FrozenTrial) -> int:
        with quiet():
            self._copy.add_trial(trial)
        self._size += 1
        return self._size - 1


def running(proposal: Proposal, attributes: Mapping[str, object]) -> FrozenTrial:
    """A trial for Optuna's storage that is being tried."""
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.RUNNING,
        params=dict(proposal.parameters),
        distributions=dict(proposal.distributions),
        user_attrs=dict(attributes),
        system_attrs=dict(proposal.marks),
    )


def restored(trial: FrozenTrial, ended: bool, values: Sequence[float] | None) -> FrozenTrial:
    """A trial of the storage as the samplers are to see it: being tried, or with its values or none."""
    from optuna.trial import TrialState, create_trial

    state = TrialState.RUNNING
    if ended:
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
    return create_trial(
        state=state,
        values=values if state == TrialState.COMPLETE else None,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    )


def pruned(proposal: Proposal, violation: float, attributes: Mapping[str, object]) -> FrozenTrial:
    """A trial for Optuna's storage that breaks a constraint: TPE learns to avoid its like."""
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.PRUNED,
        params=dict(proposal.parameters),
        distributions=dict(proposal.distributions),
        user_attrs=dict(attributes),
        constraints={REFUSED: max(violation, 1e-12) if math.isfinite(violation) else 1.0},
    )


class _Asked:
    """Asks Optuna's trial for every choice."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def choose(self, domain: Domain) -> Choice:
        if isinstance(domain, Alternatives):
            return self._trial.suggest_categorical(domain.name, domain.labels)
        if domain.whole:
            step = int(domain.step or 1)
            return self._trial.suggest_int(
                domain.name, int(domain.low), int(domain.high), step=1 if domain.log else step, log=domain.log
            )
        step_ = None if domain.log else domain.step
        return self._trial.suggest_float(domain.name, domain.low, domain.high, step=step_, log=domain.log)


class _Known:
    """Chooses what a point holds, and notes it as Optuna stores it."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self.parameters: dict[str, Choice] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def choose(self, domain: Domain) -> Choice:
        value = self._point[domain.name]
        stored = value
        if isinstance(domain, Interval) and not isinstance(value, str):
            stored = min(max(value, domain.low), domain.high)  # low + n * step may lie a rounding beside it
        self.parameters[domain.name] = stored
        self.distributions[domain.name] = _distribution(domain)
        return value


def _distribution(domain: Domain) -> BaseDistribution:
    from optuna import distributions as d

    if isinstance(domain, Alternatives):
        return d.CategoricalDistribution(domain.labels)
    if domain.whole:
        step = 1 if domain.log else int(domain.step or 1)
        return d.IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=step)
    return d.FloatDistribution(
        domain.low, domain.high, log=domain.log, step=None if domain.log else domain.step
    )


def _sampler(sampler: Sampler, seed: int, refusals: int) -> BaseSampler:
    """Optuna's sampler for one draw. TPE's random start is longer by what was refused in it."""
    from optuna import samplers

    match sampler.name:
        case "random":
            return samplers.RandomSampler(seed=seed)
        case "tpe":
            return samplers.TPESampler(seed=seed, n_startup_trials=TPE_START + refusals)
        case "nsga2":
            return _nsga2()(seed=seed, population_size=sampler.population or POPULATION)
    raise ValueError(f"no sampler is called {sampler.name}")


@cache
def _nsga2() -> type[NSGAIISampler]:
    """Optuna lists the parents of a generation by merit when they are chosen, and by number ever after; here
    by number at once, as the draws depend on the order."""
    from optuna.samplers import NSGAIISampler

    class Ordered(NSGAIISampler):
        def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
            return sorted(super().select_parent(study, generation), key=lambda t: t.number)

    return Ordered


def _seed(seed: int, number: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
