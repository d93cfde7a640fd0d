"""Claims as pictures: the interval of a difference, the differences it comes from, and zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from archdsl.nas.report.axes import Axis, axis_of
from archdsl.nas.results import ComparisonResult

LIMIT = 6.0
"""An interval is drawn up to so many times the largest difference; beyond, it runs off the picture."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Places between 0 and 1 on an axis of differences.

    Args:
        zero: of no difference.
        detectable: ends of the band of differences too small to be found, or None.
        ends: of the interval, cut at the picture's edges; None where there is none.
        mean: of the differences, or None.
        points: one for each seed.
        ticks: places with labels.
    """

    zero: float
    detectable: tuple[float, float] | None
    ends: tuple[float, float] | None
    mean: float | None
    points: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


def interval(result: ComparisonResult) -> Interval:
    """Where everything lies for one comparison."""
    points = [d for d in result.differences if isfinite(d)]
    reach = LIMIT * max((abs(v) for v in [*points, _or_zero(result.mean)]), default=0.0) or 1.0
    band = result.detectable if isfinite(result.detectable) else reach
    shown = [0.0, *points, *(max(-reach, min(reach, v)) for v in (result.low, result.high, band, -band))]
    axis = axis_of((v for v in shown if isfinite(v)), _metric(result.text), wanted=5)
    known = isfinite(result.mean) and result.low == result.low and result.high == result.high
    return Interval(
        zero=axis.place(0.0),
        detectable=_ends(axis, -result.detectable, result.detectable) if result.detectable > 0 else None,
        ends=_ends(axis, result.low, result.high) if known else None,
        mean=_inside(axis, result.mean) if known else None,
        points=tuple(axis.place(p) for p in points),
        ticks=tuple((axis.place(value), label) for value, label in axis.ticks),
    )


def _ends(axis: Axis, low: float, high: float) -> tuple[float, float]:
    return _inside(axis, low), _inside(axis, high)


def _inside(axis: Axis, value: float) -> float:
    return min(1.0, max(0.0, axis.place(max(-1e300, min(1e300, value)))))


def _or_zero(value: float) -> float:
    return value if isfinite(value) else 0.0


def mean(values: Sequence[float]) -> float | None:
    """Of the finite values; None where there are none."""
    finite = [v for v in values if isfinite(v)]
    return sum(finite) / len(finite) if finite else None


def _metric(text: str) -> str:
    """The metric of a comparison, for the unit of its axis: the name before the first bracket."""
    return text.partition("(")[0].strip()
