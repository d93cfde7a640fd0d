"""Spaces: what is drawn, counted and enumerated from the `vary` lines of a search."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import space_of, texts

from archdsl.diagnostics import Source
from archdsl.lang import parse_search
from archdsl.lang import tree as t
from archdsl.nas.choosers import Drawn
from archdsl.nas.domains import Numbers
from archdsl.nas.space import Alternatives, Domain, Interval


def every(lines: str) -> list[list[str]]:
    space = space_of(lines)
    found = [texts(space, point) for point in space.points()]
    assert len(found) == space.count
    return found


class Asked:
    """A chooser that takes the first of everything and remembers what it was asked."""

    def __init__(self) -> None:
        self.domains: list[Domain] = []

    def choose(self, domain: Domain) -> str | int | float:
        self.domains.append(domain)
        return domain.labels[0] if isinstance(domain, Alternatives) else domain.low


def test_alternatives_are_values_of_the_language() -> None:
    assert every("s1.blocks in one_of(2 x scan, scan + attn, none, scan(state = 8))") == [
        ["2 x scan"], ["scan + attn"], ["none"], ["scan(state = 8)"],
    ]  # fmt: skip


def test_each_draws_for_every_copy_and_joins_blocks() -> None:
    assert every("s1.blocks in 2 x each one_of(scan, attn)") == [
        ["scan + scan"], ["scan + attn"], ["attn + scan"], ["attn + attn"],
    ]  # fmt: skip
    assert every("s1.blocks in 2 x each (one_of(a, b) + c)")[1] == ["a + c + b + c"]


def test_without_each_one_draw_is_repeated() -> None:
    assert every("s1.blocks in 4 x one_of(scan, attn)") == [["4 x scan"], ["4 x attn"]]
    assert every("s1.blocks in one_of(1, 2) x scan") == [["1 x scan"], ["2 x scan"]]


def test_none_among_copies_leaves_a_place_empty() -> None:
    assert every("s1.blocks in 2 x each one_of(none, attn)") == [
        ["none"],
        ["attn"],
        ["attn"],
        ["attn + attn"],
    ]
    assert every("s1.blocks in one_of(none, a) + one_of(none, b)")[0] == ["none"]


def test_copies_in_a_pipeline_stand_behind_each_other() -> None:
    assert every("stem in conv2d(3) -> 2 x each one_of(gelu, relu -> norm)")[1] == [
        "conv2d(3) -> gelu -> relu -> norm"
    ]
    assert every("s1.blocks in metaformer(2 x each one_of(gelu, relu))")[1] == ["metaformer(gelu -> relu)"]


def test_choices_stand_anywhere_in_a_value() -> None:
    found = every("s1.blocks in one_of(1, 2) x scan(state = one_of(8, 16)) + attn")
    assert found == [
        ["1 x scan(state = 8) + attn"], ["1 x scan(state = 16) + attn"],
        ["2 x scan(state = 8) + attn"], ["2 x scan(state = 16) + attn"],
    ]  # fmt: skip
    assert every("at in [one_of(1, 2), 3]") == [["[1, 3]"], ["[2, 3]"]]
    assert every("a in (not one_of(1, 2) < 2 and n > 1)")[1] == ["not 2 < 2 and n > 1"]


def test_choices_inside_alternatives_count_only_where_they_are_taken() -> None:
    space = space_of("s1.blocks in one_of(scan(state = one_of(4, 8, 16)), attn)")
    assert space.count == 4
    points = list(space.points())
    assert points[0] == {"s1.blocks#1": "scan(state = one_of(4, 8, 16))", "s1.blocks#2": "4"}
    assert points[-1] == {"s1.blocks#1": "attn"}


def test_a_single_choice_is_named_like_its_path_and_several_are_numbered() -> None:
    asked = Asked()
    space_of("s1.heads in one_of(2, 4)\n s2.blocks in n x each one_of(a, b)").draw(asked)
    assert [d.name for d in asked.domains] == ["s1.heads", "s2.blocks#1", "s2.blocks#2", "s2.blocks#3"]


def test_parentheses_that_change_nothing_are_not_kept() -> None:
    assert every("s1.blocks in one_of((scan), 2 x (a + b))") == [["scan"], ["2 x (a + b)"]]
    assert every("s1.dim in 8 * (one_of(1, 2) + 1)") == [["8 * (1 + 1)"], ["8 * (2 + 1)"]]
    assert every("head in pool((kind)) -> one_of(a, b)")[0] == ["pool((kind)) -> a"]


@pytest.mark.parametrize(
    ("written", "domain", "count"),
    [
        ("2 .. 8", Interval("n", 2.0, 8.0, 1.0, False, True), 7),
        ("2 .. 8 step 3", Interval("n", 2.0, 8.0, 3.0, False, True), 3),
        ("1 .. 64 log", Interval("n", 1.0, 64.0, 1.0, True, True), 64),
        ("0.0 .. 1.0", Interval("n", 0.0, 1.0, None, False, False), None),
        ("0 .. 0.5 step 0.1", Interval("n", 0.0, 0.5, 0.1, False, False), 6),
        ("1e-4 .. 1 log", Interval("n", 1e-4, 1.0, None, True, False), None),
        ("n .. 2 * n", Interval("n", 3.0, 6.0, 1.0, False, True), 4),
        ("-1 .. 1", Interval("n", -1.0, 1.0, 1.0, False, True), 3),
    ],
)  # fmt: skip
def test_ranges(written: str, domain: Interval, count: int | None) -> None:
    space = space_of(f"n in {written}")
    asked = Asked()
    space.draw(asked)
    assert asked.domains == [domain]
    assert space.count == count


def test_numbers_of_a_range_are_exact_and_short() -> None:
    assert every("n in 0 .. 0.5 step 0.1") == [["0"], ["0.1"], ["0.2"], ["0.3"], ["0.4"], ["0.5"]]
    assert every("n in -1 .. 1") == [["-1"], ["0"], ["1"]]
    space = space_of("n in 1e-5 .. 3e-3 log")
    assert texts(space, {"n": 0.000123456789}) == ["0.000123457"]
    assert texts(space, {"n": 0.00003}) == ["3e-05"]
    assert texts(space, {"n": 0.0030000001}) == ["0.003"]


@given(st.integers(-50, 50), st.integers(1, 20), st.integers(1, 30), st.integers(0, 3), st.data())
def test_a_stepped_range_gives_back_what_was_chosen(
    low: int, step: int, steps: int, places: int, data: st.DataObject
) -> None:
    unit = Fraction(1, 10**places)
    first, last, by = low * unit, (low + step * steps) * unit, step * unit
    domain = Interval("n", float(first), float(last), float(by), False, False)
    numbers = Numbers(domain, first, last, by, parse_search(Source("s", "let a = 1\n")).span)
    k = data.draw(st.integers(0, steps))
    chosen = numbers.domain.low + k * float(step * unit)

    class Only:
        def choose(self, domain: Domain) -> float:
            return chosen

    drawn = numbers.draw(Only())
    value = -drawn.operand.value if isinstance(drawn, t.Unary) else drawn.value  # type: ignore[union-attr]
    assert value == (low + k * step) * unit
    assert numbers.count == steps + 1


leaves = st.sampled_from(["a", "b", "scan(state = 8)", "c(mode)"])


def _one_of(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=3, unique=True).map(lambda v: f"one_of({', '.join(v)})")


values_with_choices = st.recursive(
    leaves,
    lambda inner: st.one_of(
        _one_of(inner),
        st.tuples(inner, inner).map(" + ".join),
        st.tuples(st.integers(1, 2), inner).map(lambda p: f"{p[0]} x ({p[1]})"),
        st.tuples(st.integers(1, 2), _one_of(inner)).map(lambda p: f"{p[0]} x each {p[1]}"),
    ),
    max_leaves=6,
)


@given(values_with_choices.filter(lambda v: "one_of" in v))
@settings(max_examples=150, deadline=None)
def test_points_are_as_many_as_counted_all_different_and_come_back(domain: str) -> None:
    space = space_of(f"s1.blocks in {domain}")
    if space.count is None or space.count > 300:
        return
    points = [dict(p) for p in space.points()]
    assert len(points) == space.count
    assert len({tuple(p.items()) for p in points}) == len(points)
    for point in points[:20]:
        again = space.draw(Drawn(Random(0), point))
        assert again == point
        assert texts(space, point) == texts(space, again)


def test_a_point_of_another_space_is_refused() -> None:
    space = space_of("s1.heads in one_of(2, 4)")
    for point in ({}, {"s1.heads": "3"}):
        with pytest.raises(KeyError):
            space.values(point)


def test_an_infinite_space_can_not_be_enumerated() -> None:
    with pytest.raises(ValueError, match="real numbers"):
        next(space_of("train.lr in 1e-4 .. 1e-2 log").points())


def test_draws_are_within_their_domains_and_depend_on_the_seed() -> None:
    space = space_of("a in 8 .. 24 step 8\n b in 1 .. 64 log\n c in 0.5 .. 0.75\n d in one_of(x1, x2)")
    first = [space.draw(Drawn(Random(seed), {})) for seed in range(40)]
    assert first == [space.draw(Drawn(Random(seed), {})) for seed in range(40)]
    assert {p["a"] for p in first} == {8, 16, 24}
    assert all(isinstance(p["b"], int) and 1 <= p["b"] <= 64 for p in first)
    assert all(0.5 <= float(p["c"]) <= 0.75 for p in first)
    assert {p["d"] for p in first} == {"x1", "x2"}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("a in one_of(1, 2)", "2 points"),
        ("a in 1 .. 54\n b in 1 .. 54", "2,916 points"),
        ("a in 0.1 .. 0.2", "infinitely many points (a is a real number)"),
        (
            "a in 0.1 .. 0.2\n b in 0.1 .. 0.2\n c in one_of(1, 2)",
            "infinitely many points (a and b are real numbers; 2 without)",
        ),
    ],
)
def test_the_size_in_words(lines: str, told: str) -> None:
    assert space_of(lines).told() == told


def test_shipped_names_are_found() -> None:
    from archdsl.nas import library

    assert "tiny_cpu" in library.index()
    assert library.path_of("tiny_cpu") == library.file_of("tiny_cpu")
    assert library.path_of(Path("tiny_cpu")) == Path("tiny_cpu")
