"""Claims: intervals, detectable differences and verdicts, against scipy and against simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from archdsl.diagnostics import Source, Span
from archdsl.nas import claims
from archdsl.nas.claims import (
    Runs,
    binomial_deviation,
    decide,
    detectable,
    interval,
    quantile,
    seed_deviation,
    share,
)
from archdsl.nas.plan import ClaimPlan, Comparison, Side
from archdsl.nas.results import ClaimResult, Verdict

HERE = Span(Source("claims", ""), 1, 1, 1, 1)
NO_EFFECT_KNOWN = 0.01
LEVELS = (0.8, 0.95, 0.99, 0.9975)

finite = st.floats(-1e3, 1e3, allow_nan=False)


def _side(metric: str = "accuracy", plus: float = 0.0) -> Side:
    return Side(metric, (), plus, f"{metric}()", HERE)


def _claim(
    comparisons: int = 1, *, greater: bool = True, metric: str = "accuracy", plus: float = 0
) -> ClaimPlan:
    one = Comparison(_side(metric, plus), _side(metric), greater, f"{metric}() > {metric}()")
    return ClaimPlan("a finding", (one,) * comparisons)


def _judge(plan: ClaimPlan, *sides: tuple[Sequence[float], Sequence[float]]) -> ClaimResult:
    runs = [(Runs(tuple(a)), Runs(tuple(b))) for a, b in sides]
    return decide(plan, runs, [NO_EFFECT_KNOWN] * len(sides))


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 30, 500])
@pytest.mark.parametrize("tail", [0.4, 0.1, 0.025, 0.0005, 1e-6])
def test_quantiles_are_those_of_scipy(tail: float, freedom: int) -> None:
    assert quantile(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-9)


@given(st.lists(finite, min_size=2, max_size=12), st.sampled_from(LEVELS))
def test_intervals_are_those_of_scipy(differences: list[float], level: float) -> None:
    low, high = interval(differences, level)
    n, deviation = len(differences), float(np.std(differences, ddof=1))
    half = stats.t.isf((1 - level) / 2, n - 1) * deviation / math.sqrt(n)
    assert (low + high) / 2 == pytest.approx(np.mean(differences), abs=1e-9 * (1 + half))
    assert (high - low) / 2 == pytest.approx(half, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_a_detectable_difference_is_found_as_often_as_is_said(seeds: int, level: float) -> None:
    deviation = 0.02
    effect = detectable(seeds, deviation, level, power=0.7)
    shift = effect / (math.sqrt(2) * deviation) * math.sqrt(seeds)
    critical = stats.t.isf((1 - level) / 2, seeds - 1)
    found = stats.nct.sf(critical, seeds - 1, shift) + stats.nct.sf(critical, seeds - 1, -shift)
    assert found == pytest.approx(0.7, abs=1e-6)


def test_what_is_detectable_shrinks_with_seeds_and_grows_with_all_else() -> None:
    by_seeds = [detectable(n, 0.01, 0.95) for n in (2, 3, 4, 6, 10, 30)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    assert by_seeds[0] > 5 * by_seeds[3], "two seeds find next to nothing"
    assert detectable(5, 0.02, 0.95) == pytest.approx(2 * detectable(5, 0.01, 0.95))
    assert detectable(5, 0.01, 0.99) > detectable(5, 0.01, 0.95)
    assert detectable(5, 0.01, 0.95, power=0.95) > detectable(5, 0.01, 0.95)
    assert detectable(5, 0.0, 0.95) == 0
    with pytest.raises(ValueError, match="two seeds"):
        detectable(1, 0.01, 0.95)


def test_intervals_cover_the_truth_and_power_is_kept() -> None:
    """4,000 claims of two comparisons at 5 seeds: one without a difference, one with the detectable one."""
    random = np.random.default_rng(7)
    seeds, deviation, rounds = 5, 0.01, 4000
    level = share(0.95, 2)
    effect = detectable(seeds, deviation, level)
    covered = found = wrong = 0
    for _ in range(rounds):
        draws = random.normal(0.9, deviation, size=(4, seeds))
        draws[2] += effect
        a, b, c, d = (tuple(row.tolist()) for row in draws)
        result = _judge(_claim(2), (a, b), (c, d))
        none, some = result.comparisons
        covered += none.low <= 0 <= none.high and some.low <= effect <= some.high
        found += some.verdict is Verdict.SUPPORTED
        wrong += result.verdict is Verdict.CONTRADICTED
    assert covered / rounds == pytest.approx(0.95, abs=0.012)
    assert found / rounds == pytest.approx(0.8, abs=0.025)
    assert wrong / rounds < 0.025


def test_verdicts() -> None:
    good, bad = (0.95, 0.96, 0.97), (0.90, 0.91, 0.921)
    assert _judge(_claim(), (good, bad)).verdict is Verdict.SUPPORTED
    assert _judge(_claim(), (bad, good)).verdict is Verdict.CONTRADICTED
    assert _judge(_claim(greater=False), (bad, good)).verdict is Verdict.SUPPORTED
    near = (0.94, 0.97, 0.955)
    assert _judge(_claim(), (good, near)).verdict is Verdict.UNDECIDED


def test_a_claim_stands_with_all_its_lines_and_falls_with_one() -> None:
    good, bad, near = (0.95, 0.96, 0.97), (0.90, 0.91, 0.921), (0.94, 0.97, 0.955)
    assert _judge(_claim(2), (good, bad), (good, bad)).verdict is Verdict.SUPPORTED
    assert _judge(_claim(2), (good, bad), (good, near)).verdict is Verdict.UNDECIDED
    assert _judge(_claim(3), (good, bad), (good, near), (bad, good)).verdict is Verdict.CONTRADICTED


def test_comparisons_share_the_level() -> None:
    left, right = (0.95, 0.96, 0.97), (0.90, 0.91, 0.921)
    alone = _judge(_claim(), (left, right)).comparisons[0]
    among = _judge(_claim(4), *[(left, right)] * 4).comparisons[0]
    assert among.low < alone.low < alone.high < among.high
    assert (among.low, among.high) == interval(among.differences, 0.9875)


def test_differences_are_turned_to_speak_for_the_claim_and_hold_what_a_side_adds() -> None:
    left, right = (0.75, 0.5), (0.25, 0.5)
    more = _judge(_claim(plus=0.125), (left, right)).comparisons[0]
    assert more.differences == (0.625, 0.125)
    assert (more.left, more.right) == (left, right)
    less = _judge(_claim(plus=0.125, greater=False), (left, right)).comparisons[0]
    assert less.differences == (-0.625, -0.125)
    assert less.mean == -more.mean


@pytest.mark.parametrize("seeds", [2, 3, 7])
@pytest.mark.parametrize("step", [0.0, 0.1])
def test_differences_without_a_spread_decide_nothing(seeds: int, step: float) -> None:
    left = [0.1 * k + step for k in range(1, seeds + 1)]
    right = [0.1 * k for k in range(1, seeds + 1)]
    (result,) = _judge(_claim(), (left, right)).comparisons
    assert result.verdict is Verdict.UNDECIDED
    assert "no spread" in result.reason
    assert result.mean == pytest.approx(step)


def test_what_is_counted_is_exact() -> None:
    more = _judge(_claim(metric="params"), ((1001.0,), (1000.0,)))
    assert more.verdict is Verdict.SUPPORTED
    assert more.comparisons[0].detectable == 0
    assert more.comparisons[0].low == more.comparisons[0].high == 1
    same = _judge(_claim(metric="macs"), ((1000.0, 1000.0), (1000.0, 1000.0)))
    assert same.verdict is Verdict.CONTRADICTED


def test_one_pair_decides_nothing() -> None:
    (result,) = _judge(_claim(), ((0.9,), (0.1,))).comparisons
    assert result.verdict is Verdict.UNDECIDED
    assert "one pair" in result.reason


def test_failed_runs_leave_a_claim_undecided_and_say_why() -> None:
    fine = Runs((0.9, 0.91))
    for sides, reason in (
        ((Runs((), "its loss is not finite"), fine), "left side has no value: its loss is not finite"),
        ((fine, Runs(())), "right side has no value: it was not run"),
        ((fine, Runs((0.9, math.nan))), "right side has a run without a finite value"),
        ((fine, Runs((0.9, 0.91, 0.92))), "2 runs on the left, 3 on the right"),
    ):
        result = decide(_claim(2), [sides, (fine, Runs((0.1, 0.12)))], [0.02, 0.02])
        assert result.verdict is Verdict.UNDECIDED
        assert reason in result.comparisons[0].reason
        assert result.comparisons[1].verdict is Verdict.SUPPORTED
        assert result.comparisons[0].detectable == 0.02
        numbers = (result.comparisons[0].mean, result.comparisons[0].low, result.comparisons[0].high)
        assert all(map(math.isfinite, numbers))


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=8))
def test_turning_a_comparison_turns_its_verdict(pairs: list[tuple[float, float]]) -> None:
    left, right = zip(*pairs, strict=True)
    (one,) = _judge(_claim(), (left, right)).comparisons
    (other,) = _judge(_claim(), (right, left)).comparisons
    assert one.low <= one.mean <= one.high
    turned = {
        Verdict.SUPPORTED: Verdict.CONTRADICTED,
        Verdict.CONTRADICTED: Verdict.SUPPORTED,
        Verdict.UNDECIDED: Verdict.UNDECIDED,
    }
    assert other.verdict is turned[one.verdict]
    assert one.verdict is not Verdict.SUPPORTED or one.low > 0


def test_deviations_are_pooled() -> None:
    groups = [(1.0, 3.0), (10.0, 10.0, 13.0), (5.0,), (), (1.0, math.nan)]
    assert seed_deviation(groups) == pytest.approx(math.sqrt((2 + 6) / 3))
    assert seed_deviation([(0.9,), (0.8,)]) is None
    assert seed_deviation([(0.9, 0.9), (0.8, 0.8)]) is None
    assert seed_deviation([]) is None


def test_pooled_deviations_come_near_the_true_one() -> None:
    random = np.random.default_rng(3)
    groups = [random.normal(mean, 0.02, 3).tolist() for mean in random.uniform(0.5, 0.9, 300)]
    assert seed_deviation(groups) == pytest.approx(0.02, rel=0.06)


@given(st.floats(0, 1), st.integers(1, 100_000))
def test_accuracies_have_a_deviation_even_at_their_ends(accuracy: float, images: int) -> None:
    deviation = binomial_deviation(accuracy, images)
    assert 0 < deviation <= 0.5 / math.sqrt(images) + 1e-12
    assert deviation == pytest.approx(binomial_deviation(1 - accuracy, images))


def test_accuracies_deviate_as_draws_do() -> None:
    random = np.random.default_rng(5)
    drawn = random.binomial(360, 0.9, 20_000) / 360
    assert binomial_deviation(0.9, 360) == pytest.approx(float(drawn.std()), rel=0.03)


def test_quantiles_are_computed_once() -> None:
    quantile.cache_clear()
    first = claims.quantile(0.025, 4)
    assert claims.quantile(0.025, 4) == first
    assert quantile.cache_info().hits == 1
