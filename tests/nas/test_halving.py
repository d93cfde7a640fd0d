"""Ranks, crowding and places, against definitions written out."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from archdsl.nas.halving import Losses, crowding, dominates, place, ranks

small = st.integers(0, 4).map(float)
clouds = st.integers(1, 4).flatmap(lambda m: st.lists(st.tuples(*[small] * m), min_size=1, max_size=25))


def peeled(points: list[Losses]) -> list[int]:
    """Ranks by definition: fronts taken off one after the other."""
    found: dict[int, int] = {}
    rank = 0
    while len(found) < len(points):
        left = [i for i in range(len(points)) if i not in found]
        front = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        found.update(dict.fromkeys(front, rank))
        rank += 1
    return [found[i] for i in range(len(points))]


@given(clouds)
def test_ranks_are_the_fronts_taken_off_one_by_one(points: list[Losses]) -> None:
    assert ranks(points) == peeled(points)


@given(clouds)
def test_the_best_share_goes_on(points: list[Losses]) -> None:
    own, others = points[-1], points[:-1]
    stand = place(own, others, 3)
    assert stand.of == len(points)
    assert stand.places == math.ceil(len(points) / 3)
    by_rank = peeled(points)
    better = sum(r < by_rank[-1] for r in by_rank)
    assert better < stand.position <= better + by_rank.count(by_rank[-1])
    assert stand.goes_on == (stand.position <= stand.places)


@given(clouds)
def test_places_are_a_ranking(points: list[Losses]) -> None:
    """Each taken as the last to report, nobody but the last of equals stands behind all who are as good."""
    first = [p for i, p in enumerate(points) if peeled(points)[i] == 0]
    stands = [place(p, [*points[:i], *points[i + 1 :]], 2) for i, p in enumerate(points)]
    assert min(s.position for s in stands) <= len(first)


def test_one_objective_is_ranked_by_value() -> None:
    assert place((0.3,), [(0.1,), (0.2,), (0.5,)], 2) == place((0.3,), [(0.5,), (0.2,), (0.1,)], 2)
    assert place((0.3,), [(0.1,), (0.2,), (0.5,)], 2).position == 3
    assert not place((0.3,), [(0.1,), (0.2,), (0.5,)], 2).goes_on
    assert place((0.3,), [(0.1,), (0.2,), (0.5,)], 1.2).goes_on


def test_the_first_to_report_goes_on_and_a_later_equal_stands_behind() -> None:
    assert place((1.0,), [], 3).goes_on
    assert place((1.0,), [(1.0,)], 2).position == 2


def test_who_stands_alone_in_a_front_comes_before_the_crowd() -> None:
    crowd = [(0.0, 10.0), (4.9, 5.1), (5.0, 5.0), (5.1, 4.9), (10.0, 0.0)]
    assert place((5.05, 4.95), crowd, 3).position == 6
    assert place((2.5, 7.5), crowd, 3).position == 4


def test_crowding_is_infinite_at_the_ends() -> None:
    assert crowding([(0.0, 2.0), (1.0, 1.0), (2.0, 0.0)]) == [math.inf, 2.0, math.inf]
    assert crowding([(1.0, 1.0), (1.0, 1.0)]) == [0.0, 0.0]
    assert crowding([]) == []


def test_a_rung_of_thousands_is_ranked() -> None:
    points = [(float(i * 7919 % 5003), float(i * 104729 % 5003), float(i % 13)) for i in range(3000)]
    found = ranks(points)
    fronts = [[p for p, r in zip(points, found, strict=True) if r == rank] for rank in range(3)]
    assert not any(dominates(a, b) for front in fronts for a in front for b in front[:50])
