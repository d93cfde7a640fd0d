"""Domains that name another varied path."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from spaces import read, space_of, texts

import archdsl
from archdsl.diagnostics import Source
from archdsl.nas.choosers import Drawn
from archdsl.nas.domains import VariedSpace
from archdsl.nas.read import read_search
from archdsl.nas.space import Candidate

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests/data/searches/widths_that_grow.search"


def every(lines: str) -> list[list[str]]:
    space = space_of(lines)
    found = [texts(space, point) for point in space.points()]
    assert len(found) == space.count
    return found


def test_a_path_stands_for_what_its_line_draws() -> None:
    assert every("s1.dim in one_of(16, 24)\n s2.dim in one_of(s1.dim, 2 * s1.dim)") == [
        ["16", "16"], ["16", "2 * 16"], ["24", "24"], ["24", "2 * 24"],
    ]  # fmt: skip


def test_lines_stand_in_any_order_and_name_one_another_over_several_steps() -> None:
    lines = "s3.dim in s2.dim + 4\n s2.dim in 2 * s1.dim\n s1.dim in one_of(8, 16)"
    assert every(lines) == [["2 * 8 + 4", "2 * 8", "8"], ["2 * 16 + 4", "2 * 16", "16"]]
    assert [line.names for line in space_of(lines).lines] == [("s2.dim",), ("s1.dim",), ()]


def test_parentheses_are_put_where_the_value_needs_them() -> None:
    assert every("a.n in one_of(1 + 2, 4 - 1)\n b.n in 2 * a.n\n c.n in 9 - a.n") == [
        ["1 + 2", "2 * (1 + 2)", "9 - (1 + 2)"],
        ["4 - 1", "2 * (4 - 1)", "9 - (4 - 1)"],
    ]
    assert every("a.n in one_of(n)\n b.n in (a.n) x scan\n c.n in -a.n")[0] == ["n", "n x scan", "-n"]
    assert every("a.n in one_of(n + 1)\n b.n in (a.n) x scan")[0] == ["n + 1", "(n + 1) x scan"]


def test_a_name_as_an_argument_stays_a_value() -> None:
    """`pool(mean)` would be a flag where `pool` has a parameter of that name."""
    assert every("a.kind in one_of(mean)\n head in pool(a.kind)")[0] == ["mean", "pool((mean))"]
    assert every("a.kind in one_of(mean)\n head in pool(kind = a.kind)")[0] == ["mean", "pool(kind = (mean))"]


def test_elements_and_fields_of_blocks_are_named_too() -> None:
    assert every("a.dims in one_of([8, 16])\n b.dim in a.dims[1]")[0] == ["[8, 16]", "[8, 16][1]"]
    lines = "a.blocks[1].heads in one_of(2, 4)\n b.heads in a.blocks[1].heads"
    assert every(lines) == [["2", "2"], ["4", "4"]]


def test_choices_around_a_path_are_choices_and_a_path_is_none() -> None:
    space = space_of("a.n in 1 .. 3\n b.n in one_of(a.n, a.n + one_of(1, 2))")
    assert space.count == 9
    point = {"a.n": 2, "b.n#1": "a.n + one_of(1, 2)", "b.n#2": "2"}
    assert texts(space, point) == ["2", "2 + 2"]


def test_one_line_with_what_it_takes_over() -> None:
    space = space_of("c.n in b.n\n b.n in one_of(a.n, 5)\n a.n in one_of(1, 2)\n d.n in one_of(3, 4)")
    line = space.lines[0]
    found = space.alone(line, Drawn(Random(0), {"a.n": "2", "b.n": "a.n"}))
    assert [str(other.path) for other, _ in found] == ["c.n", "b.n", "a.n"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.n in one_of(1, b.n)\n b.n in one_of(2, a.n)", "in a circle"),
        ("a.n in b.n\n b.n in c.n\n c.n in one_of(a.n, 1)", "in a circle"),
        ("a.n in one_of(1, a.n)", "drawn from itself"),
        ("a.n in one_of(1, 2)\n b.n in a.m", "varied on no line"),
        ("a.n in one_of(1, 2)\n b.n in one_of(a.dim, 2)", "varied on no line"),
        ("a.blocks in one_of(scan, attn)\n b.blocks in a.blocks", "holds blocks"),
        ("train.lr in 0.1 .. 0.2\n a.n in train.lr", "can't name `train.lr`"),
        ("a.n in one_of(1, 2)\n train.lr in a.n", "can't name `a.n`"),
        ("a.dim in one_of(2 * dim, 3)\n a.heads in a.dim", "means something else"),
        ("a.dim in one_of(2 * dim, 3)\n b.heads in a.dim", "means something else"),
        ("a.heads in one_of(dim, 3)\n b.dim in a.heads", "means something else"),
        ("a.heads in one_of(dim, 3)\n b.heads in a.heads", "means something else"),
        ("a.dim in one_of(dim, 3)\n b.dim in a.dim\n c.heads in b.dim", "means something else"),
    ],
)
def test_mistakes(lines: str, message: str) -> None:
    space, (found, *more) = read(lines)
    assert (found.code, more) == ("E421", [])
    assert message in found.message
    assert all(set(line.names) <= {str(other.path) for other in space.lines} for line in space.lines)


def test_lines_that_name_one_with_a_mistake_are_left_out_without_another() -> None:
    space, found = read("a.n in one_of(1, 1)\n b.n in a.n\n c.n in b.n\n d.n in one_of(1, 2)")
    assert [d.code for d in found] == ["E405"]
    assert [str(line.path) for line in space.lines] == ["d.n"]


@pytest.mark.parametrize(
    "lines",
    [
        "a.dim in one_of(dim, 2 * dim)\n b.dim in 2 * a.dim",
        "a.heads in one_of(dim, 3)\n a.state in a.heads",
        "a.heads in one_of(n, 3)\n b.heads in a.heads",
        "train.lr in 0.1 .. 0.2\n train.weight_decay in 10 * train.lr",
        "a.dim in one_of(2 * dim, 3)\n stem in conv2d(3, a.dim)",
    ],
)
def test_values_that_mean_the_same_in_both_places_may_be_named(lines: str) -> None:
    assert read(lines)[1] == []


numbers = st.sampled_from(["1", "7", "2 + 3", "9 - 4", "2 * 3", "8 / 2", "-3", "(1 + 1) * 2"])
around = st.sampled_from(["{}", "2 * {}", "{} - 1", "1 - {}", "{} / {}", "-{}", "({} + 1) * {}", "7 // {}"])


@given(st.lists(numbers, min_size=1, max_size=3, unique=True), around, around)
@settings(max_examples=60, deadline=None)
def test_the_text_has_the_value_of_the_meaning(values: list[str], first: str, second: str) -> None:
    """Against Python: each line as a number of the numbers above it."""
    lines = f"a.n in one_of({', '.join(values)})\n b.n in {first.replace('{}', 'a.n')}"
    space = space_of(f"{lines}\n c.n in {second.replace('{}', 'b.n')}")
    for point in space.points():
        a = eval(str(point["a.n"]))
        b = eval(first.replace("{}", f"({a})"))
        assume(b != 0)
        c = eval(second.replace("{}", f"({b})"))
        found = texts(space, point)
        assert [eval(text) for text in found] == pytest.approx([a, b, c])


def test_a_point_of_the_example_is_the_architecture_of_its_values() -> None:
    """By hand: the widths as numbers give the same network, and its text loads as the same again."""
    plan = read_search(EXAMPLE)
    assert isinstance(plan.space, VariedSpace)
    found = 0
    for seed in range(20):
        point = plan.space.draw(Drawn(Random(seed), {}))
        candidate = plan.candidates.at(point)
        if not isinstance(candidate, Candidate):
            continue
        found += 1
        s2 = int(point["s2.dim"])
        s3 = s2 * (2 if "2 *" in str(point["s3.dim"]) else 1)
        s4 = s3 * int(point["s4.dim"])
        assert [stage.blocks[0].input.dim for stage in candidate.architecture.stages] == [8, s2, s3, s4]
        ratio = point["s3.mlp_ratio"]
        widths = {"s2.dim": s2, "s3.dim": s3, "s4.dim": s4, "s3.mlp_ratio": ratio, "s4.mlp_ratio": ratio}
        by_hand = archdsl.load("tiny_stages", overrides=widths, dim=8, classes=10, channels=1)
        assert candidate.architecture.digest() == by_hand.digest()
        assert archdsl.load("tiny_stages", overrides={
            path: text for path, text in candidate.changes.items() if not path.startswith("train.")
        }, dim=8, classes=10, channels=1).digest() == by_hand.digest()  # fmt: skip
        again = archdsl.load(Source("winner.arch", candidate.architecture.to_source()))
        assert again.digest() == by_hand.digest()
        lr, decay = (getattr(candidate.task, name) for name in ("lr", "weight_decay"))
        assert decay == pytest.approx(lr * (10 if "10" in str(point["train.weight_decay"]) else 1))
    assert found > 10
