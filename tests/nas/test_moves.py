"""Points from points: always points of the same space, always as far away as told."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import space_of

import archdsl
from archdsl.diagnostics import Source
from archdsl.nas.choosers import Drawn, size
from archdsl.nas.moves import crossover, domains, mutation, neighbours
from archdsl.nas.points import from_line, to_line
from archdsl.nas.read import read_search
from archdsl.nas.space import Alternatives, Candidate, Interval, Point, Space

LINES = """
 s1.dim in one_of(8, 16, 24)
 s2.blocks in 3 x each one_of(scan(state = one_of(4, 8)), attn, none)
 s3.heads in 2 .. 8 step 2
 s3.state in 1 .. 9 log
 train.lr in 1e-4 .. 1e-2 log
"""
FINITE = LINES.replace("train.lr in 1e-4 .. 1e-2 log", "train.lr in 0.1 .. 0.5 step 0.2")


def draw(space: Space, seed: int) -> Point:
    return space.draw(Drawn(Random(seed), {}))


def changed(space: Space, one: Point, two: Point) -> list[str]:
    """Choices of the first that the second makes otherwise; those it does not make are not counted."""
    return [n for n in one if n in two and one[n] != two[n]]


def valid(space: Space, point: Point) -> None:
    asked = domains(space, point)
    assert [d.name for d in asked] == list(point)
    for d in asked:
        value = point[d.name]
        if isinstance(d, Alternatives):
            assert value in d.labels
        else:
            assert isinstance(value, int) == d.whole
            assert d.low <= float(value) <= d.high + 1e-12


seeds = st.integers(0, 10**6)


@given(seeds, seeds)
@settings(max_examples=150, deadline=None)
def test_a_mutation_changes_one_choice_and_what_comes_with_it(one: int, two: int) -> None:
    space = space_of(LINES)
    point = draw(space, one)
    other = mutation(space, point, Random(two))
    valid(space, other)
    assert len(changed(space, point, other)) == 1
    assert other == mutation(space, point, Random(two))
    (name,) = changed(space, point, other)
    gone, come = point.keys() - other.keys(), other.keys() - point.keys()
    assert all(name.startswith("s2.blocks") for name in gone | come)
    assert len(gone) + len(come) <= 1
    if gone or come:
        assert {name}.isdisjoint(gone | come)


def test_every_choice_is_mutated_and_a_long_line_leaves_the_others_a_chance() -> None:
    space = space_of("a in one_of(1, 2)\n b in 16 x each one_of(x1, x2)\n c in 1 .. 9\n d in one_of(7)")
    point = draw(space, 0)
    random = Random(0)
    found = Counter(changed(space, point, mutation(space, point, random))[0] for _ in range(6000))
    assert set(found) == {"a", "c", *(f"b#{n}" for n in range(1, 17))}
    long = sum(n for name, n in found.items() if name.startswith("b#"))
    assert long / 6000 == pytest.approx(4 / 6, abs=0.03)
    assert found["a"] / 6000 == pytest.approx(1 / 6, abs=0.03)


def test_a_mutation_reaches_every_other_value() -> None:
    space = space_of("a in one_of(1, 2, 3, 4)")
    found = {mutation(space, {"a": "2"}, Random(n))["a"] for n in range(60)}
    assert found == {"1", "3", "4"}
    space = space_of("a in 1 .. 8 log")
    assert {mutation(space, {"a": 2}, Random(n))["a"] for n in range(300)} == {1, 3, 4, 5, 6, 7, 8}


def test_a_space_of_one_point_has_no_mutations() -> None:
    space = space_of("a in one_of(1)")
    with pytest.raises(ValueError, match="one point"):
        mutation(space, {"a": "1"}, Random(0))
    assert list(neighbours(space, {"a": "1"})) == []


@given(seeds, seeds, seeds)
@settings(max_examples=150, deadline=None)
def test_a_crossover_has_each_choice_from_a_parent(one: int, two: int, three: int) -> None:
    space = space_of(LINES)
    a, b = draw(space, one), draw(space, two)
    child = crossover(space, a, b, Random(three))
    valid(space, child)
    assert all(value in (a.get(name), b.get(name)) for name, value in child.items())
    assert child == crossover(space, a, b, Random(three))
    assert crossover(space, a, a, Random(three)) == a


def test_a_crossover_takes_from_both() -> None:
    space = space_of("a in 12 x each one_of(x1, x2)")
    one, two = ({f"a#{n}": label for n in range(1, 13)} for label in ("x1", "x2"))
    found = [sum(v == "x1" for v in crossover(space, one, two, Random(s)).values()) for s in range(200)]
    assert sum(found) / 200 == pytest.approx(6, abs=0.5)
    assert len(set(found)) > 5


def test_neighbours_are_all_points_at_one_change() -> None:
    """Against the definition, over the whole space."""
    space = space_of("a in one_of(1, 2, 3)\n b in 2 x each one_of(m(k = one_of(4, 8)), n)\n c in 1 .. 3")
    points = [dict(p) for p in space.points()]
    for point in points:
        expected = [p for p in points if len(changed(space, point, p)) == 1 and _one_step(point, p)]
        found = [dict(p) for p in neighbours(space, point)]
        assert len(found) == len(expected)
        assert sorted(map(to_line, found)) == sorted(map(to_line, expected))


def _one_step(one: Point, two: Point) -> bool:
    """Whether choices that only one of them makes belong to the alternative that changed: in this space
    `b#1` brings `b#2` and `b#3` brings `b#4`."""
    apart = one.keys() ^ two.keys()
    return all(one[_above(name)] != two[_above(name)] for name in apart)


def _above(name: str) -> str:
    return f"b#{int(name.removeprefix('b#')) - 1}"


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_neighbours_are_different_points_and_mutations_are_among_them(seed: int) -> None:
    space = space_of(FINITE)
    point = draw(space, seed)
    found = [to_line(p) for p in neighbours(space, point)]
    assert len(set(found)) == len(found)
    assert to_line(point) not in found
    for n in range(10):
        other = mutation(space, point, Random(n))
        if "train.lr" not in changed(space, point, other):
            assert to_line(other) in found


def test_real_numbers_have_no_neighbours() -> None:
    space = space_of("a in 0.5 .. 2.5\n b in one_of(1, m(r = one_of(1, 2)))")
    found = list(neighbours(space, {"a": 0.75, "b#1": "1"}))
    assert [p["a"] for p in found] == [0.75, 0.75]
    assert [p["b#2"] for p in found] == ["1", "2"]


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_a_point_is_one_line_and_back(seed: int) -> None:
    space = space_of(LINES)
    point = draw(space, seed)
    line = to_line(point)
    assert "\n" not in line
    again = from_line(line, space)
    assert (again, list(again)) == (point, list(point))
    assert [type(v) for v in again.values()] == [type(v) for v in point.values()]
    shuffled = dict(sorted(point.items(), reverse=True))
    assert to_line(shuffled) == line


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a = 1", "JSON"),
        ("[1]", "JSON"),
        ("{}", "no point of the space: a"),
        ('{"a": "3", "b": 4}', "a is not 3"),
        ('{"a": "1", "b": "4"}', "b is a number"),
        ('{"a": "1", "b": true}', "b is a number"),
        ('{"a": "1", "b": 10}', "b is from 2 to 8"),
        ('{"a": "1", "b": 5}', "b goes in steps of 2"),
        ('{"a": "1", "b": 4, "c": 1}', "not made there: c"),
    ],
)
def test_lines_that_are_no_point_are_refused(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        from_line(line, space_of("a in one_of(1, 2)\n b in 2 .. 8 step 2"))


@pytest.mark.parametrize("name", ["tiny_cpu", "hybrid_stages", "registers"])
def test_the_arch_of_a_point_has_its_digest(name: str) -> None:
    """From a point to a line, back, and to the text of an architecture, along a walk of mutations."""
    plan = read_search(name)
    random = Random(name)
    point = plan.space.draw(Drawn(random, {}))
    found = 0
    for _ in range(8):
        candidate = plan.candidates.at(from_line(to_line(point), plan.space))
        if isinstance(candidate, Candidate):
            found += 1
            text = candidate.architecture.to_source()
            again = archdsl.load(Source("winner.arch", text))
            assert again.digest() == candidate.architecture.digest()
            assert again.to_source() == text
        point = mutation(plan.space, point, random)
    assert found > 2


def test_sizes() -> None:
    space = space_of(FINITE)
    asked = domains(space, draw(space, 3))
    assert size(asked[0]) == 3
    sizes = {d.name: size(d) for d in asked if isinstance(d, Interval)}
    assert sizes == {"s3.heads": 4, "s3.state": 9, "train.lr": 3}
