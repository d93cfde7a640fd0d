"""Regularised evolution: a child of the best of a few, and age removes.

E. Real, A. Aggarwal, Y. Huang, Q. V. Le: "Regularized Evolution for Image Classifier Architecture Search",
arXiv 1802.01548, algorithm 1. With several objectives the best is the one of the best non-dominated rank in
the population, then the one in the least crowded place (NSGA-II's order).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from archdsl.nas.halving import Losses, crowding, ranks
from archdsl.nas.moves import crossover, mutation
from archdsl.nas.plan import Sampler
from archdsl.nas.space import Point, Space

POPULATION = 50
"""Where the search says nothing."""
TOURNAMENT = 10
"""Where the search says nothing; the population, where that is smaller."""


@dataclass(frozen=True, slots=True)
class Member:
    """A trial that was trained to the end.

    Args:
        losses: its objectives, turned so that small is good.
    """

    point: Point
    losses: Losses


@dataclass(frozen=True, slots=True)
class Evolution:
    """How children are made.

    Args:
        population: members that may be parents, the youngest.
        tournament: of which one wins.
        crossover: share of the children of two parents.
    """

    population: int
    tournament: int
    crossover: float

    @classmethod
    def of(cls, sampler: Sampler) -> Evolution:
        """With what a search leaves open."""
        population = sampler.population or POPULATION
        return cls(population, sampler.tournament or min(TOURNAMENT, population), sampler.crossover)

    def child(self, space: Space, members: Sequence[Member], random: Random) -> tuple[Point, Point]:
        """A new point and the parent that it was made of.

        Args:
            members: the oldest first, at least one; those beyond the population are too old.
        """
        living = members[-self.population :]
        order = _order(living, random)
        parent = origin = self._winner(living, order, random).point
        if random.random() < self.crossover:
            parent = crossover(space, parent, self._winner(living, order, random).point, random)
        return mutation(space, parent, random), origin

    def _winner(self, living: Sequence[Member], order: Sequence[int], random: Random) -> Member:
        """The best of some members, each of them any."""
        return living[min(random.choices(range(len(living)), k=self.tournament), key=order.__getitem__)]


def _order(living: Sequence[Member], random: Random) -> list[int]:
    """The place of each member, 0 the best; at random between equal ones."""
    rank = ranks([m.losses for m in living])
    peers = defaultdict(list)
    for i, r in enumerate(rank):
        peers[r].append(i)
    room = [0.0] * len(living)
    for those in peers.values():
        for i, distance in zip(those, crowding([living[i].losses for i in those]), strict=True):
            room[i] = distance
    lots = [random.random() for _ in living]
    best_first = sorted(range(len(living)), key=lambda i: (rank[i], -room[i], lots[i]))
    order = [0] * len(living)
    for place, i in enumerate(best_first):
        order[i] = place
    return order
