"""Claims judged: differences over pairs of runs with the same seed, their interval, and what could be found.

Statistics on numbers alone. A comparison is judged by Student's t over the differences of its pairs. The
comparisons of a claim share its level (Bonferroni), so that the whole claim keeps it however many lines there
are. Counted metrics are exact and need no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist, fmean, stdev

from archdsl.nas.plan import COUNTED, ClaimPlan, Comparison
from archdsl.nas.results import ClaimResult, ComparisonResult, Verdict

LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Runs:
    """One side of a comparison, run.

    Args:
        values: the metric of each run, in the order of the seeds.
        reason: why there are none.
    """

    values: tuple[float, ...]
    reason: str = ""


def decide(
    plan: ClaimPlan, sides: Sequence[tuple[Runs, Runs]], detectable: Sequence[float], level: float = LEVEL
) -> ClaimResult:
    """Judges a claim.

    Args:
        plan: what is claimed.
        sides: left and right of every comparison, as run.
        detectable: for every comparison, what `detectable` said before the runs.
        level: of the whole claim.
    """
    shared = share(level, len(plan.comparisons))
    results = tuple(
        _compare(comparison, left, right, effect, shared)
        for comparison, (left, right), effect in zip(plan.comparisons, sides, detectable, strict=True)
    )
    verdicts = {r.verdict for r in results}
    if Verdict.CONTRADICTED in verdicts:
        verdict = Verdict.CONTRADICTED
    elif verdicts == {Verdict.SUPPORTED}:
        verdict = Verdict.SUPPORTED
    else:
        verdict = Verdict.UNDECIDED
    return ClaimResult(plan, results, verdict, level)


def share(level: float, comparisons: int) -> float:
    """The level of each of so many comparisons that are right together at `level`."""
    return 1 - (1 - level) / max(1, comparisons)


def interval(differences: Sequence[float], level: float) -> tuple[float, float]:
    """The confidence interval of the mean of at least two differences."""
    mean = fmean(differences)
    n = len(differences)
    half = quantile((1 - level) / 2, n - 1) * stdev(differences) / math.sqrt(n)
    return mean - half, mean + half


def detectable(seeds: int, deviation: float, level: float, power: float = POWER) -> float:
    """The smallest true difference that a comparison finds with probability `power`.

    Exact for normal differences whose standard deviation is `sqrt(2) * deviation`: runs that share a seed
    are taken as independent.

    Args:
        seeds: pairs of runs, at least two.
        deviation: standard deviation of one run from seed to seed, in the metric's unit.
        level: of this comparison.
        power: how often it is to be found.

    Raises:
        ValueError: for fewer than two seeds.
    """
    if seeds < 2:
        raise ValueError("a difference over fewer than two seeds has no spread")
    return math.sqrt(2) * deviation * _effect(seeds, level, power)


def seed_deviation(groups: Iterable[Sequence[float]]) -> float | None:
    """The standard deviation from seed to seed, pooled over groups of runs that differ by their seed alone.

    None where the groups show no spread: nothing can be said from them.
    """
    squares = 0.0
    freedom = 0
    for group in groups:
        if len(group) > 1 and all(map(math.isfinite, group)):
            mean = fmean(group)
            squares += math.fsum((v - mean) ** 2 for v in group)
            freedom += len(group) - 1
    return math.sqrt(squares / freedom) if squares > 0 else None


def binomial_deviation(accuracy: float, images: int) -> float:
    """The standard deviation of an accuracy measured on so many images; stands in for `seed_deviation`.

    Two images more are counted in, one right and one wrong, so that it is never zero.
    """
    p = (accuracy * images + 1) / (images + 2)
    return math.sqrt(p * (1 - p) / images)


@lru_cache(maxsize=256)
def quantile(tail: float, freedom: int) -> float:
    """The value that Student's t with `freedom` degrees exceeds with probability `tail`, below a half."""
    import mpmath

    def above(t: float) -> float:
        return float(mpmath.betainc(freedom / 2, 0.5, 0, freedom / (freedom + t * t), regularized=True)) / 2

    return _solve(lambda t: tail - above(t))


@lru_cache(maxsize=256)
def _effect(pairs: int, level: float, power: float) -> float:
    """The mean difference, in standard deviations of a difference, that is found with probability `power`."""
    critical = quantile((1 - level) / 2, pairs - 1)
    return _solve(lambda shift: _power(shift, critical, pairs - 1) - power) / math.sqrt(pairs)


def _power(shift: float, critical: float, freedom: int) -> float:
    """How often the noncentral t lies outside `critical` on either side.

    Given the estimated deviation s (in true ones), t is normal around shift / s; the integral runs over s,
    split where the integrand falls off.
    """
    from numpy.polynomial.legendre import leggauss

    normal = NormalDist().cdf
    constant = math.log(2) + freedom / 2 * math.log(freedom / 2) - math.lgamma(freedom / 2)

    def density(s: float) -> float:
        return math.exp(constant + (freedom - 1) * math.log(s) - freedom * s * s / 2)

    spread = 12 / math.sqrt(2 * freedom)
    low, high = max(0.0, 1 - spread), 1 + spread
    step = shift / critical
    inner = (step + k / critical for k in (-8, -4, -2, 0, 2, 4, 8))
    ends = sorted({low, high, *(e for e in inner if low < e < high)})
    nodes, weights = leggauss(40)
    total = 0.0
    for a, b in pairwise(ends):
        for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
            s = (a + b) / 2 + (b - a) / 2 * node
            found = normal(shift - critical * s) + normal(-shift - critical * s)
            total += (b - a) / 2 * weight * density(s) * found
    return total


def _solve(rising: Callable[[float], float]) -> float:
    """The positive zero of a rising function, by bisection to full precision."""
    low, high = 0.0, 1.0
    while rising(high) < 0:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
        if high - low < 1e-13 * high:
            break
    return high


def _compare(
    comparison: Comparison, left: Runs, right: Runs, effect: float, level: float
) -> ComparisonResult:
    offset = comparison.left.plus - comparison.right.plus
    sign = 1 if comparison.greater else -1
    differences: tuple[float, ...] = ()
    mean = low = high = 0.0
    verdict = Verdict.UNDECIDED
    reason = _reason(left, right)
    if not reason:
        pairs = zip(left.values, right.values, strict=True)
        differences = tuple(sign * (a - b + offset) for a, b in pairs)
        mean = low = high = fmean(differences)
        if comparison.left.metric in COUNTED and comparison.right.metric in COUNTED:
            effect = 0.0
            verdict = Verdict.SUPPORTED if mean > 0 else Verdict.CONTRADICTED
        elif len(differences) < 2:
            reason = "one pair of runs shows no spread"
        elif _alike(differences, (*left.values, *right.values)):
            reason = f"the difference is the same for all {len(differences)} seeds: no spread to judge it by"
        else:
            low, high = interval(differences, level)
            if low > 0:
                verdict = Verdict.SUPPORTED
            elif high < 0:
                verdict = Verdict.CONTRADICTED
    return ComparisonResult(
        comparison.text, left.values, right.values, differences, mean, low, high, effect, verdict, reason
    )


def _alike(differences: Sequence[float], values: Sequence[float]) -> bool:
    """Whether differences of such values are the same but for rounding."""
    return max(differences) - min(differences) <= 1e-12 * max(map(abs, values))


def _reason(left: Runs, right: Runs) -> str:
    """Why nothing can be said, or nothing."""
    for name, runs in (("left", left), ("right", right)):
        if runs.reason or not runs.values:
            return f"the {name} side has no value: {runs.reason or 'it was not run'}"
        if not all(map(math.isfinite, runs.values)):
            return f"the {name} side has a run without a finite value"
    if len(left.values) != len(right.values):
        return f"{len(left.values)} runs on the left, {len(right.values)} on the right: they make no pairs"
    return ""
