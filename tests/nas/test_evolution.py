"""Who becomes a parent, and what becomes of its children."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from spaces import space_of

from archdsl.nas.choosers import Drawn
from archdsl.nas.evolution import Evolution, Member
from archdsl.nas.halving import Losses
from archdsl.nas.plan import Sampler
from archdsl.nas.space import Point

SPACE = space_of("a in 1 .. 100\n b in one_of(1, 2)")


def members(*losses: Losses) -> list[Member]:
    """Members that are told apart by `a`: 1, 2, 3, and on."""
    return [Member({"a": n + 1, "b": "1"}, each) for n, each in enumerate(losses)]


def parents(evolution: Evolution, living: list[Member], times: int = 400) -> Counter[int]:
    found: Counter[int] = Counter()
    for seed in range(times):
        _, parent = evolution.child(SPACE, living, Random(seed))
        found[int(parent["a"])] += 1
    return found


def test_the_best_of_a_tournament_is_the_parent() -> None:
    living = members(*((float(n),) for n in range(10)))
    found = parents(Evolution(10, 3, 0.0), living, 4000)
    for n in range(10):
        expected = ((10 - n) ** 3 - (9 - n) ** 3) / 1000  # three draws, with replacement
        assert found[n + 1] / 4000 == pytest.approx(expected, abs=0.03)
    assert set(parents(Evolution(10, 1, 0.0), living)) == set(range(1, 11))


def test_age_removes_and_merit_does_not() -> None:
    living = members((0.0,), (9.0,), (8.0,), (7.0,))
    assert set(parents(Evolution(3, 2, 0.0), living)) <= {2, 3, 4}
    assert parents(Evolution(4, 40, 0.0), living) == {1: 400}


def test_the_front_comes_first_then_its_empty_places() -> None:
    crowded = members((0.0, 10.0), (4.9, 4.9), (5.0, 4.8), (5.1, 4.7), (10.0, 0.0), (6.0, 6.0))
    found = parents(Evolution(6, 60, 0.0), crowded)
    assert set(found) == {1, 5}, "the ends of the front are the least crowded"
    assert min(found.values()) > 100, "neither end is preferred"
    behind = [Member(m.point, (m.losses[0] + 1, m.losses[1] + 1)) for m in crowded[1:4]]
    assert set(parents(Evolution(5, 60, 0.0), [*behind, crowded[2], crowded[5]])) == {3}


def test_a_child_is_its_parent_with_one_change_or_of_two_parents() -> None:
    space = space_of("a in 8 x each one_of(k1, k2, k3)")
    one, two = ({f"a#{n}": label for n in range(1, 9)} for label in ("k1", "k2"))
    living = [Member(one, (1.0,)), Member(two, (1.0,))]
    for seed in range(100):
        child, parent = Evolution(2, 2, 0.0).child(space, living, Random(seed))
        assert parent in (one, two)
        assert sum(child[n] != parent[n] for n in parent) == 1
    mixed = [Evolution(2, 1, 1.0).child(space, living, Random(s))[0] for s in range(100)]
    assert sum(3 <= sum(v == "k1" for v in child.values()) <= 5 for child in mixed) > 20


def test_what_a_search_leaves_open() -> None:
    assert Evolution.of(Sampler("evolution")) == Evolution(50, 10, 0.0)
    assert Evolution.of(Sampler("evolution", population=4)) == Evolution(4, 4, 0.0)
    assert Evolution.of(Sampler("evolution", 0, 20, 5, 0.25)) == Evolution(20, 5, 0.25)


def test_it_climbs_where_random_search_does_not() -> None:
    """Twenty-four choices, each right or wrong: after 300 trials, over four searches."""
    space = space_of("a in 24 x each one_of(right, wrong)")

    def loss(point: Point) -> float:
        return float(sum(v == "wrong" for v in point.values()))

    best, drawn = [], []
    for seed in range(4):
        random = Random(seed)
        evolution = Evolution(20, 5, 0.0)
        found = [space.draw(Drawn(random, {})) for _ in range(20)]
        while len(found) < 300:
            found.append(evolution.child(space, [Member(p, (loss(p),)) for p in found], random)[0])
        best.append(min(map(loss, found)))
        drawn.append(min(loss(space.draw(Drawn(random, {}))) for _ in range(300)))
    assert max(best) <= 1
    assert min(drawn) >= 3
