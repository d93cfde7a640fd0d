"""Whole spaces at once, against all their points one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archdsl.cli.bench import results
from archdsl.diagnostics import DiagnosticError, Severity
from archdsl.nas.candidates import VariedCandidates
from archdsl.nas.factored import FactoredSpace
from archdsl.nas.factored.anatomy import Assignment
from archdsl.nas.factored.bounds import Box
from archdsl.nas.factored.share import share
from archdsl.nas.read import check_file, read_search
from archdsl.nas.space import Point

ARCH = """\
mixer halve(dim) = conv2d(3, dim, stride = 2) -> layer_norm
mixer third(dim) = conv2d(3, dim, stride = 3)

arch small(dim = 8, heads = 2) {
  image      = 24
  stem       = conv2d(3, dim, stride = 2)
  downsample = halve
  stage s1 { dim = dim;      blocks = conv }
  stage s2 { dim = 2 * dim;  blocks = 2 x conv; window = 2 }
  head = norm -> pool(mean) -> linear(classes)
}
"""
SEARCH = """\
use "small.arch"

search small {
  arch     = small()
  task     = digits(epochs = 9)
  maximize = accuracy
  budget   = trials(2)
"""
ABOVE = (
    "dim in one_of(8, 12)",
    "image in one_of(16, 24)",
    "norm in one_of(layer_norm, batch_norm)",
    "heads in 1 .. 4",
)
FIRST = (
    "s1.downsample in one_of(none, halve, third)",
    "s1.feature_norm in one_of(none, layer_norm)",
)
S1 = (
    "s1.blocks in one_of(conv, none, 2 x conv)",
    "s1.blocks in 3 x each one_of(none, conv)",
    "s1.blocks in 2 x each one_of(conv, conv + conv, gated_conv)",
    "s1.blocks in one_of(1, 2) x one_of(conv, gated_conv)",
    "s1.blocks in one_of(conv, none) + one_of(none, gated_conv)",
    "s1.blocks[0] in one_of(conv, gated_conv)",
)
S2 = (
    "s2.blocks in 2 x each one_of(attn(heads = one_of(2, 3)), window_attn(heads = 2, window = one_of(2, 3)))",
    "s2.blocks in one_of(attn(heads), conv) + one_of(none, window_attn(heads, window = 3))",
    "s2.within in one_of(none, windows(2))",
    "s2.dim in one_of(2 * dim, 16, 24)",
)
"""Lines to draw spaces from, by what they act on."""
NAMING = (
    ("s1.dim in one_of(8, dim)", "s2.dim in one_of(s1.dim, 2 * s1.dim, 24)", S2[1]),
    ("s2.heads in one_of(1, 2, 3)", "s2.blocks in 2 x each one_of(attn(heads = s2.heads), conv)"),
    (
        "s1.kernel in one_of(3, 5)",
        "s1.blocks in one_of(gated_conv, conv)",
        "s2.blocks in 2 x each one_of(gated_conv(kernel = s1.kernel), gated_conv(kernel = one_of(3, 5)))",
    ),
    (
        "s2.blocks[1] in one_of(gated_conv, attn)",
        "s2.heads in s2.window + one_of(0, 1)",
        "s2.window in one_of(1, 2)",
        "s1.expand in s2.window + 1",
        "s1.blocks[0] in one_of(conv, gated_conv(kernel = s2.window))",
    ),
)
"""Lines that name others."""


def written(folder: Path, lines: list[str], requires: str = "", arch: str = ARCH) -> Path:
    (folder / "small.arch").write_text(arch)
    path = folder / "small.search"
    path.write_text("\n".join([SEARCH, "  vary {", *lines, "  }", requires, "}\n"]))
    return path


@dataclass(frozen=True)
class Each:
    """A space, and what becomes of each of its points."""

    candidates: VariedCandidates
    space: FactoredSpace

    @classmethod
    def of(cls, path: Path) -> Each:
        plan = read_search(path)
        assert isinstance(plan.candidates, VariedCandidates)
        candidates = plan.candidates
        space = FactoredSpace.of(candidates.base, candidates.space, candidates.requirements)
        assert isinstance(space, FactoredSpace)
        return cls(candidates, space)

    @cached_property
    def points(self) -> list[tuple[Point, tuple[tuple[str, tuple[int, int]], int, int, int] | None]]:
        """Every point with digest, image, params, MACs and memory, built on its own; None where it fails."""
        out: list[tuple[Point, tuple[tuple[str, tuple[int, int]], int, int, int] | None]] = []
        for point in self.space.layers.architecture.points():
            values = self.space.layers.architecture.values(point)
            try:
                made = self.candidates.base.at([(line.path, value) for line, value in values])
            except DiagnosticError:
                out.append((point, None))
                continue
            cost = made.cost()
            key = made.digest(), made.image
            out.append((point, (key, cost.params, cost.macs.total, cost.activation_bytes)))
        return out


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """`vary` lines of some hundred points at most."""
    if draw(st.booleans()):
        return [draw(st.sampled_from(ABOVE[:2])), *draw(st.permutations(draw(st.sampled_from(NAMING))))]
    above = draw(st.lists(st.sampled_from((*ABOVE, *FIRST)), min_size=1, max_size=2, unique=True))
    return [*above, draw(st.sampled_from(S1)), draw(st.sampled_from(S2))]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines(), st.integers(0, 1000))
def test_a_space_is_what_its_points_are(tmp_path: Path, varied: list[str], place: int) -> None:
    each = Each.of(written(tmp_path, varied))
    space, points = each.space, each.points
    fitting = {frozenset(p.items()): found for p, found in points if found is not None}
    assert space.points == len(points)
    assert space.compiling == len(fitting)
    assert space.chosen == Counter(made for choices in fitting for made in choices)
    if not fitting:
        assert space.ranges is None
        return
    costs = {found[0]: found[1:3] for found in fitting.values()}
    assert space.distinct == len(costs)
    drawn = list(space.enumerate())
    assert len(drawn) == len(costs)
    assert Counter((d.digest, d.params, d.macs) for d in drawn) == Counter(
        (digest, *cost) for (digest, _), cost in costs.items()
    )
    assert all(fitting[frozenset(d.point.items())][0][0] == d.digest for d in drawn)
    assert space.ranges is not None
    for number, name in enumerate(("params", "macs", "memory"), 1):
        found = getattr(space.ranges, name)
        assert found.low == min(f[number] for f in fitting.values())
        assert found.high == max(f[number] for f in fitting.values())
    for point, found in points:
        located = space.locate(point)
        assert (located is None) == (found is None)
        if located is not None and found is not None:
            memory = space.path(located.choices)[0].memory
            assert (located.params, located.macs, memory) == found[1:]
    _share(space, list(costs.values()), place)
    _failures(space, points)


def _share(space: FactoredSpace, costs: list[tuple[int, int]], place: int) -> None:
    """The share below bounds that one of the architectures sets, told apart fully and hardly."""
    params, macs = costs[place % len(costs)]

    def decide(box: Box) -> bool | None:
        if box[1] <= params and box[3] < macs:
            return True
        return False if box[0] > params or box[2] >= macs else None

    assert space.architectures is not None
    both = frozenset({"params", "macs"})
    met = sum(p <= params and m < macs for p, m in costs)
    exact = share(space.architectures, decide, both)
    assert (exact.low, exact.high, exact.all) == (met, met, len(costs))


def _failures(
    space: FactoredSpace,
    points: list[tuple[Point, tuple[tuple[str, tuple[int, int]], int, int, int] | None]],
) -> None:
    """What is told of the points that do not compile: right, as small as can be, and all of it."""
    found = space.conflicts
    every = [(frozenset(p.items()), made is not None) for p, made in points]

    def compiles(some: Assignment) -> bool:
        return any(fits for choices, fits in every if some <= choices)

    explained = 0
    for conflict in found.found:
        for one in conflict.sets:
            assert not compiles(one)
            assert all(compiles(one - {made}) for made in one)
        assert conflict.lost == sum(any(s <= choices for s in conflict.sets) for choices, _ in every)
    for choices, fits in every:
        held = [len(s) for conflict in found.found for s in conflict.sets if s <= choices]
        assert not (held and fits)
        explained += bool(held)
        if not fits:
            small = (frozenset(c) for size in (1, 2) for c in combinations(choices, size))
            smallest = next((len(c) for c in small if not compiles(c)), 3)
            assert smallest == 3 or min(held) == smallest
    assert found.unexplained == sum(not fits for _, fits in every) - explained


def test_equal_architectures_count_once_and_are_drawn_as_often_as_others(tmp_path: Path) -> None:
    each = Each.of(written(tmp_path, ["s1.blocks in 4 x each one_of(none, conv, conv + conv)"]))
    space = each.space
    times = Counter(found[0] for _, found in each.points if found is not None)
    assert (space.points, space.distinct) == (81, 9)
    assert {min(times.values()), max(times.values())} == {1, 19}
    random = Random(0)
    drawn = Counter(d.digest for d in (space.sample(random) for _ in range(3600)) if d is not None)
    assert set(drawn) == {digest for digest, _ in times}
    chi_squared = sum((count - 400) ** 2 / 400 for count in drawn.values())
    assert chi_squared < 37.3, "eight degrees of freedom: one in 100,000 lies above"


def test_a_point_stands_for_all_that_are_equal(tmp_path: Path) -> None:
    space = Each.of(written(tmp_path, ["s1.blocks in 3 x each one_of(none, conv)"])).space
    random = Random(1)
    points: dict[str, set[tuple[object, ...]]] = {}
    for _ in range(60):
        drawn = space.sample(random)
        assert drawn is not None
        points.setdefault(drawn.digest, set()).add(tuple(drawn.point.items()))
    assert all(len(found) == 1 for found in points.values())


def test_what_is_required_decides_what_is_drawn(tmp_path: Path) -> None:
    varied = ["s1.blocks in 3 x each one_of(conv, gated_conv, scan(state = 4))", "train.lr in 1e-3 .. 1e-2"]
    each = Each.of(written(tmp_path, varied, "require params <= 14K and 2 * macs < 1480K + params"))
    space = each.space
    met = [f for _, f in each.points if f is not None and f[1] <= 14_000 and 2 * f[2] < 1_480_000 + f[1]]
    assert space.share is not None
    assert 0 < len(met) < len(each.points)
    assert (space.share.low, space.share.high) == (len(met), len(met))
    assert {d.digest for d in space.enumerate()} == {f[0][0] for f in met}
    random = Random(0)
    for _ in range(20):
        drawn = space.sample(random)
        assert drawn is not None
        assert drawn.params <= 14_000
        assert 1e-3 <= float(drawn.point["train.lr"]) <= 1e-2
        assert each.candidates.at(drawn.point).changes


def test_costs_that_are_not_told_apart_give_bounds(tmp_path: Path) -> None:
    lines = ["s1.blocks in 5 x each one_of(conv, gated_conv, scan(state = 4))", "dim in 8 .. 16 step 4"]
    each = Each.of(written(tmp_path, lines))
    costs = {found[0]: found[1:3] for _, found in each.points if found is not None}
    assert each.space.architectures is not None
    for number, (params, macs) in enumerate(sorted(costs.values())[::60]):

        def decide(box: Box, params: int = params, macs: int = macs) -> bool | None:
            if box[1] <= params or box[3] <= macs:
                return True
            return False if box[0] > params and box[2] > macs else None

        met = sum(p <= params or m <= macs for p, m in costs.values())
        found = share(each.space.architectures, decide, frozenset({"params", "macs"}), 40)
        assert found.low <= met <= found.high, number
        assert found.high - found.low < len(costs)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("s2.layer_scale in 0.1 .. 0.5", "`s2.layer_scale` is a real number"),
        ("dim in 8 .. 48; heads in 1 .. 999", "can be chosen in 40,959 ways, more than 1,500"),
        ("s1.blocks in 2 x (9 x each one_of(conv, gated_conv, none))", "19,683 ways, more than 5,000"),
    ],
)
def test_what_does_not_factor_is_tried_and_called_unknown(tmp_path: Path, line: str, reason: str) -> None:
    checked = check_file(written(tmp_path, [line]))
    (facts,) = checked.facts
    assert facts.reason is not None
    assert reason in facts.reason
    text = "\n".join(facts.lines())
    assert "the rest is unknown" in text
    assert "50 points drawn" in text
    assert "proved" not in text


def test_the_same_choices_of_all_copies_are_told_once(tmp_path: Path) -> None:
    lines = [
        "image in one_of(16, 24)",
        "s2.blocks in 3 x each one_of(attn(heads = 2), window_attn(heads = 2, window = 3))",
    ]
    (d,) = (d for d in check_file(written(tmp_path, lines)).diagnostics if d.code == "E420")
    assert (d.severity, d.message) == (Severity.WARNING, "7 of 16 points do not compile")
    assert d.span is not None
    assert d.span.source.line(d.span.line)[d.span.column - 1 :].startswith("window_attn")
    assert d.label == "window does not divide the feature map: 3 does not divide 4"
    assert d.notes[0] == "with `image = 16` (10:17)"


def test_comparisons_that_no_architecture_meets_together(tmp_path: Path) -> None:
    lines = ["s1.blocks in 3 x each one_of(conv, gated_conv)"]
    space = Each.of(written(tmp_path, lines)).space
    assert space.ranges is not None
    middle = (space.ranges.params.low + space.ranges.params.high) // 2
    wrong = f"require params > {middle} and macs > 10\n require macs < {space.ranges.macs.low + 1}"
    (d,) = check_file(written(tmp_path, lines, wrong)).diagnostics
    assert (d.code, d.severity) == ("E410", Severity.ERROR)
    assert d.label == f"no architecture meets this together with `params > {middle}`"
    assert d.notes[0].startswith("the nearest has params = ")
    (d,) = check_file(written(tmp_path, lines, "require 1 < params and 9G <= macs")).diagnostics
    assert d.label == f"the largest has macs = {space.ranges.macs.high:,}"
    assert d.span is not None
    assert d.span.source.line(d.span.line)[d.span.column - 1 :] == "9G <= macs"


@pytest.mark.parametrize(
    ("name", "points", "distinct"),
    [("tiny_cpu", 108, 108), ("registers", 16, 15), ("hybrid_stages", 324, 324)],
)
def test_shipped_searches_compile_everywhere(name: str, points: int, distinct: int) -> None:
    """A single register stands in the middle where it is spread evenly."""
    (facts,) = check_file(name).facts
    assert (facts.points, facts.compiling, facts.distinct) == (points, points, distinct)
    assert facts.reason is None
    assert "every point compiles (proved)" in "\n".join(facts.lines())


WIDE = """\
mixer halve(dim) = conv2d(3, dim, stride = 2) -> layer_norm
mixer third(dim) = conv2d(3, dim, stride = 3) -> layer_norm

arch small(dim = 16) {
  image      = 96
  stem       = conv2d(3, dim, stride = 2) -> layer_norm
  downsample = halve
  stage s1 { dim = dim;      blocks = conv; downsample = third }
  stage s2 { dim = 2 * dim;  blocks = conv }
  stage s3 { dim = 4 * dim;  blocks = conv }
  stage s4 { dim = 8 * dim;  blocks = conv; heads = 4 }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""
DEEP = [
    "dim           in 16 .. 32 step 8",
    "s1.downsample in one_of(third, halve)",
    "s1.blocks     in 3 x each one_of(conv, gated_conv, scan(state = 4))",
    "s2.blocks     in 4 x each one_of(conv, gated_conv, scan(state = 4), scan(state = 8))",
    "s3.blocks     in 6 x each one_of(conv, gated_conv, scan(state = 4), attn(heads = 4))",
    "s4.blocks     in one_of(2, 3) x one_of(conv, gated_conv, attn(heads = 4), window_attn(window = 2))",
]


def test_a_failure_that_needs_two_stages_is_found_among_a_billion_points(tmp_path: Path) -> None:
    """A window in the last stage does not divide what one downsample of the first one leaves."""
    lines = [*DEEP, "s2.act in one_of(gelu, silu, relu)"]
    checked = check_file(written(tmp_path, lines, "require params <= 1M and macs <= 200M", WIDE))
    (facts,) = checked.facts
    (d,) = (d for d in checked.diagnostics if d.code == "E420")
    assert facts.points is not None
    assert facts.points > 10**9
    assert facts.compiling == facts.points - facts.points // 8
    assert d.message == f"{facts.points // 8:,} of {facts.points:,} points do not compile"
    assert d.label == "window does not divide the feature map: 2 does not divide 3"
    assert d.notes[0].startswith("with `s1.downsample = halve` (")
    assert d.span is not None
    assert d.span.source.line(d.span.line)[d.span.column - 1 :].startswith("window_attn(window = 2)")
    assert facts.share is not None
    assert 0 < facts.share.low <= facts.share.high < facts.share.all


def test_a_set_at_fault_leads_to_those_like_it() -> None:
    """Six heads and five widths, with attention in any of six places: points that are drawn meet some."""
    plan = read_search(results.WIDE)
    assert isinstance(plan.whole, FactoredSpace)
    found = plan.whole.conflicts
    assert found.unexplained == 0
    assert [len(c.sets) for c in found.found] == [5 * 6, 5 * 6]
    either = Fraction(5, 7) * Fraction(1, 3) * (1 - Fraction(4, 6) ** 6)
    assert plan.whole.points - plan.whole.compiling == either * plan.whole.points
    one = Fraction(5, 7) * Fraction(1, 3) * (1 - Fraction(5, 6) ** 6)
    assert [c.lost for c in found.found] == [one * plan.whole.points] * 2
