"""Early stopping with several objectives: who goes on from a rung, by non-dominated rank and crowding.

Losses are tuples of numbers to be made small, all of one length. Ranks count from 0, the front. Pure
functions of what was reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Losses = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trial stands at a rung.

    Args:
        position: from 1, the best.
        of: how many are compared, itself included.
        places: how many of them go on.
    """

    position: int
    of: int
    places: int

    @property
    def goes_on(self) -> bool:
        """Whether it is among those who do."""
        return self.position <= self.places


def place(own: Losses, others: Sequence[Losses], eta: float) -> Place:
    """Where a trial stands among others that reported at the same rung before it.

    Ranked by non-dominated rank; within a rank the less crowded come first, and who reported earlier. The
    best `1 / eta`, rounded up, go on.
    """
    everyone = [*others, own]
    me = len(others)
    ranked = ranks(everyone)
    before = sum(r < ranked[me] for r in ranked)
    peers = [i for i, r in enumerate(ranked) if r == ranked[me]]
    room = crowding([everyone[i] for i in peers])
    ahead = sum(r >= room[-1] for r in room[:-1])
    return Place(before + ahead + 1, len(everyone), math.ceil(len(everyone) / eta))


def ranks(points: Sequence[Losses]) -> list[int]:
    """The non-dominated rank of each: 0 where no other is better, 1 where only those of rank 0 are, and on.

    In lexical order nobody is dominated by one who comes later, so each goes to the first rank that holds
    nobody who dominates it, found by bisection (Zhang et al. 2015, "An Efficient Approach to Nondominated
    Sorting for Evolutionary Multiobjective Optimization"). With at most two objectives only the last of a
    rank need be asked.
    """
    found = [0] * len(points)
    levels: list[list[Losses]] = []
    newest_suffices = bool(points) and len(points[0]) <= 2
    for i in sorted(range(len(points)), key=points.__getitem__):
        point = points[i]
        low, high = 0, len(levels)
        while low < high:
            middle = (low + high) // 2
            level = levels[middle]
            rivals = level[-1:] if newest_suffices else reversed(level)
            if any(dominates(r, point) for r in rivals):
                low = middle + 1
            else:
                high = middle
        if low == len(levels):
            levels.append([])
        levels[low].append(point)
        found[i] = low
    return found


def crowding(points: Sequence[Losses]) -> list[float]:
    """How far each lies from its neighbours, summed over the objectives in units of their ranges; infinite at
    the ends (Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II")."""
    distances = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda i: points[i][axis])
        low, high = points[order[0]][axis], points[order[-1]][axis]
        if low == high:
            continue
        for at, i in enumerate(order):
            if points[i][axis] in (low, high):
                distances[i] = math.inf
            else:
                gap = points[order[at + 1]][axis] - points[order[at - 1]][axis]
                distances[i] += gap / (high - low)
    return distances


def dominates(a: Losses, b: Losses) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better."""
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
