"""Learning curves: what was seen of each trial, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from archdsl.nas.plan import COUNTED, MEASURED, deciding
from archdsl.nas.report.axes import Axis, axis_of
from archdsl.nas.results import Results, Trial

MAX_NAMES = 4
LEFT_OUT = ("epoch", "lr", "seconds")


@dataclass(frozen=True, slots=True)
class Curve:
    """One trial's, by its place among the trials."""

    index: int
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """All curves of one value.

    Args:
        across: of the epochs.
        up: of the values.
        rungs: epochs at which trials reported.
    """

    name: str
    across: Axis
    up: Axis
    rungs: tuple[int, ...]
    curves: tuple[Curve, ...]


def charts(results: Results, points: int) -> tuple[Chart, ...]:
    """A chart for every value that some trial has at two epochs at least, the deciding objective's first.

    Args:
        points: of one curve at most; between first and last the others are left out evenly.
    """
    rungs = tuple(sorted({r.epoch for t in results.trials for r in t.reports}))
    found = []
    for name in _names(results):
        curves = [c for i, t in enumerate(results.trials) if (c := _curve(i, t, name, points)) is not None]
        if any(len(c.epochs) > 1 for c in curves):
            across = axis_of((e for c in curves for e in c.epochs), whole=True, wanted=8)
            up = axis_of((v for c in curves for v in c.values), name)
            found.append(Chart(name, across, up, rungs, tuple(curves)))
    return tuple(found[:MAX_NAMES])


def _names(results: Results) -> list[str]:
    skipped = (*MEASURED, *COUNTED)
    scores = [deciding(results.objectives).text, *(o.text for o in results.objectives)]
    reported = sorted({n for t in results.trials for r in t.reports for n in r.values})
    names = [n for n in [*scores, *reported] if n.partition("(")[0] not in skipped]
    names += sorted({n for t in results.trials for r in t.reports for row in r.curve for n in row})
    return [n for n in dict.fromkeys(names) if n not in LEFT_OUT]


def _curve(index: int, trial: Trial, name: str, points: int) -> Curve | None:
    found: dict[int, float] = {}
    for report in trial.reports:
        found.update((int(row["epoch"]), row[name]) for row in report.curve if name in row and "epoch" in row)
        if name in report.values:
            found[report.epoch] = report.values[name]
    kept = _thinned([(e, v) for e, v in sorted(found.items()) if isfinite(v)], points)
    return Curve(index, tuple(e for e, _ in kept), tuple(v for _, v in kept)) if kept else None


def _thinned(points: Sequence[tuple[int, float]], wanted: int) -> list[tuple[int, float]]:
    if len(points) <= wanted:
        return list(points)
    last = len(points) - 1
    return [points[i] for i in sorted({round(k * last / (wanted - 1)) for k in range(wanted)})]
