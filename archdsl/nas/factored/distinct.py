"""Architectures told apart: the automaton made deterministic, so that every label has one path.

Different choices may give the same architecture. The label of an architecture is all that its digest covers,
and the size of its images. Paths with equal labels are followed together (the subset construction), with what
the cost of each is ahead of the others'.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from archdsl.nas.factored.states import Choices, State

MOST = 300_000
"""Steps that are followed when architectures are told apart; beyond them it is given up."""

Cost = tuple[int, int]
"""Parameters and multiply-accumulates."""
Place = tuple[int, Cost]
"""A state, and what a path to it costs beyond what was counted for all paths followed together."""

Steps = tuple[tuple[int, Cost, Choices, State], ...]
"""Letters with their cost, the choices on the way, and where they lead."""


@dataclass(slots=True, eq=False)
class Arrow:
    """One more letter of a label.

    Args:
        token: the letter.
        cost: counted here.
        target: what can follow.
        sources: for every place of the target one that leads there, with the choices on the way.
    """

    token: int
    cost: Cost
    target: Places
    sources: dict[Place, tuple[Place, Choices]]


@dataclass(slots=True, eq=False)
class Places:
    """All places that the letters read so far lead to.

    Args:
        key: the places.
        arrows: what can follow, one for each letter.
        count: how many labels can follow.
        up_to: the counts of the arrows' targets, added up.
    """

    key: tuple[Place, ...]
    arrows: tuple[Arrow, ...] = ()
    count: int = 0
    up_to: list[int] = field(default_factory=list)

    @property
    def rank(self) -> int:
        """Smaller for all that can follow."""
        return max(number for number, _ in self.key)


@dataclass(frozen=True, slots=True)
class Label:
    """A distinct architecture.

    Args:
        tokens: its letters.
        choices: those of one point that stands for it, always the same.
        params, macs: its cost.
    """

    tokens: tuple[int, ...]
    choices: Choices
    params: int
    macs: int


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """All labels of an automaton.

    Args:
        start: before the first letter.
        upwards: everything that can follow, whatever follows a place before it.
    """

    start: Places
    upwards: tuple[Places, ...]

    @property
    def count(self) -> int:
        """How many distinct architectures there are."""
        return self.start.count

    def draw(self, random: Random) -> Label:
        """One of them, each as likely as any other."""
        trail: list[Arrow] = []
        here = self.start
        while here.arrows:
            number = random.randrange(here.count)
            arrow = here.arrows[bisect_right(here.up_to, number)]
            trail.append(arrow)
            here = arrow.target
        return _label(trail)

    def __iter__(self) -> Iterator[Label]:
        """All of them in a fixed order, each once."""
        trail: list[Arrow] = []
        waiting = [iter(self.start.arrows)]
        while waiting:
            arrow = next(waiting[-1], None)
            if arrow is None:
                waiting.pop()
                if trail:
                    trail.pop()
                continue
            trail.append(arrow)
            if arrow.target.arrows:
                waiting.append(iter(arrow.target.arrows))
            else:
                yield _label(trail)
                trail.pop()


def _label(trail: list[Arrow]) -> Label:
    place = trail[-1].target.key[0]
    back: list[Choices] = []
    for arrow in reversed(trail):
        place, choices = arrow.sources[place]
        back.append(choices)
    made = tuple(choice for choices in reversed(back) for choice in choices)
    costs = [arrow.cost for arrow in trail]
    return Label(tuple(a.token for a in trail), made, sum(p for p, _ in costs), sum(m for _, m in costs))


def distinct(start: State, most: int = MOST) -> Distinct | None:
    """Tells the architectures of an automaton apart; None where that takes too many steps."""
    return _Following(most).all_from(start)


@dataclass(slots=True)
class _Following:
    most: int
    steps: int = 0
    known: dict[tuple[Place, ...], Places] = field(default_factory=dict)
    states: dict[int, State] = field(default_factory=dict)
    letters: dict[int, Steps] = field(default_factory=dict)

    def all_from(self, start: State) -> Distinct | None:
        self.states[start.number] = start
        first = Places(((start.number, (0, 0)),))
        self.known[first.key] = first
        waiting = [first]
        while waiting:
            here = waiting.pop()
            new = self._follow(here)
            if self.steps > self.most:
                return None
            waiting += new
        upwards = sorted(self.known.values(), key=lambda places: places.rank)
        for places in upwards:
            if places.arrows:
                places.up_to = list(accumulate(arrow.target.count for arrow in places.arrows))
                places.count = places.up_to[-1]
            else:
                places.count = 1
        return Distinct(first, tuple(upwards))

    def _follow(self, here: Places) -> list[Places]:
        groups: dict[int, dict[Place, tuple[Place, Choices]]] = {}
        for place in here.key:
            number, (params, macs) = place
            for token, (p, m), choices, target in self._letters(self.states[number]):
                self.steps += 1
                group = groups.setdefault(token, {})
                self.states[target.number] = target
                group.setdefault((target.number, (params + p, macs + m)), (place, choices))
        new: list[Places] = []
        arrows: list[Arrow] = []
        for token, group in groups.items():
            p, m = cost = min(group)[1]
            sources = {(n, (a - p, b - m)): source for (n, (a, b)), source in sorted(group.items())}
            key = tuple(sources)
            if key not in self.known:
                self.known[key] = Places(key)
                new.append(self.known[key])
            arrows.append(Arrow(token, cost, self.known[key], sources))
        here.arrows = tuple(arrows)
        return new

    def _letters(self, state: State) -> Steps:
        """The steps with a letter that follow a state, those without one taken on the way."""
        waiting = [state]
        while waiting:
            here = waiting[-1]
            if here.number in self.letters:
                waiting.pop()
                continue
            unknown = [e.target for e in here.edges if not e.token and e.target.number not in self.letters]
            if unknown:
                waiting += unknown
                continue
            self.letters[here.number] = self._joined(here)
            waiting.pop()
        return self.letters[state.number]

    def _joined(self, state: State) -> Steps:
        """As `_letters`, where those of all targets are known; of equal steps the first is kept."""
        out: dict[tuple[int, Cost, int], tuple[int, Cost, Choices, State]] = {}
        for edge in state.edges:
            p, m = edge.weight.params, edge.weight.macs
            if edge.token:
                found = [(edge.token, (p, m), edge.choices, edge.target)]
            else:
                found = [
                    (token, (p + a, m + b), edge.choices + choices, target)
                    for token, (a, b), choices, target in self.letters[edge.target.number]
                ]
            for step in found:
                out.setdefault((step[0], step[1], step[3].number), step)
        return tuple(out.values())
