"""What trials can be compared by: objectives, counts, times and numbers that were varied."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from archdsl.nas.plan import COUNTED, MEASURED, deciding
from archdsl.nas.report.axes import Axis, axis_of
from archdsl.nas.report.words import varied
from archdsl.nas.results import Results, State, Trial

TRIAL = "trial"
ENOUGH = 4
"""Complete trials from which the axis of a score is theirs: what was stopped early has values far off."""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """One axis to choose.

    Args:
        name: an objective's text, `params`, `macs`, `seconds`, `epochs`, `trial`, or a path.
        values: one for each trial, in order; None where there is none.
        better: 1 where an objective is made large, -1 where small, 0 for what is no objective.
    """

    name: str
    values: tuple[float | None, ...]
    axis: Axis
    better: int = 0

    @property
    def beyond(self) -> bool:
        """Whether some value lies beyond the axis."""
        return any(v is not None and not self.axis.low <= v <= self.axis.high for v in self.values)


def measures(results: Results) -> tuple[Measure, ...]:
    """All axes there are; objectives first."""
    trials = results.trials
    better = {o.text: 1 if o.maximize else -1 for o in results.objectives}
    names = [*better, *sorted({name for t in trials for name in t.values} - {*better, "params", "macs"})]
    names += [name for name in ("params", "macs") if name not in better]
    scores = {o.text for o in results.objectives if o.metric not in (*COUNTED, *MEASURED)}
    found = []
    for name in names:
        values = [_value(t, name) for t in trials]
        core = [v for t, v in zip(trials, values, strict=True) if t.state is State.COMPLETE]
        if name not in scores or len(core) < ENOUGH:
            core = []
        found.append(_measure(name, values, better.get(name, 0), core=core))
    for path in varied(results):
        numbers = [_number(t.changes.get(path)) for t in trials]
        if all(n is not None for t, n in zip(trials, numbers, strict=True) if path in t.changes):
            found.append(_measure(path, numbers, 0))
    found.append(_measure("seconds", [t.seconds if t.reports else None for t in trials], 0))
    found.append(_measure("epochs", [t.epochs if t.digest else None for t in trials], 0, whole=True))
    found.append(_measure(TRIAL, [t.number for t in trials], 0, whole=True))
    return tuple(found)


def label(measure: Measure) -> str:
    """`accuracy, more is better`."""
    name = "seconds of evaluation" if measure.name == "seconds" else measure.name
    return f"{name}{('', ', more is better', ', less is better')[measure.better]}"


def first_axes(results: Results, found: Sequence[Measure]) -> tuple[int, int]:
    """Which measures are shown first, across and up: the deciding objective goes up, another one across; with
    one objective the numbers of the trials go across."""
    names = [m.name for m in found]
    up = names.index(deciding(results.objectives).text)
    others = [i for i, m in enumerate(found) if m.better and i != up]
    return (others[0] if others else names.index(TRIAL)), up


def line(results: Results, across: Measure, up: Measure) -> tuple[Point, ...]:
    """The corners of the front of two objectives, or of the best value so far over the trials."""
    points = [
        (x, y)
        for t, x, y in zip(results.trials, across.values, up.values, strict=True)
        if t.state is State.COMPLETE and x is not None and y is not None
    ]
    if not up.better or not (across.better or across.name == TRIAL):
        return ()
    if across.name == TRIAL:
        best: list[Point] = []
        for x, y in points:
            if not best or (y - best[-1][1]) * up.better > 0:
                best.append((x, y))
        last = max((x for x, _ in points), default=0.0)
        return _steps([*best, *((last, y) for _, y in best[-1:])], later=True)
    kept: list[Point] = []
    for x, y in sorted(set(points), key=lambda p: (-p[0] * across.better, -p[1] * up.better)):
        if not kept or (y - kept[-1][1]) * up.better > 0:
            kept.append((x, y))
    return _steps(sorted(kept), later=across.better < 0)


def _steps(points: Sequence[Point], *, later: bool) -> tuple[Point, ...]:
    """The points with corners between them; `later`: each value up lasts until the next value across."""
    out: list[Point] = list(points[:1])
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        out += [(to_x, y) if later else (x, to_y), (to_x, to_y)]
    return tuple(out)


def _measure(
    name: str,
    values: Sequence[float | None],
    better: int,
    *,
    core: Sequence[float | None] = (),
    whole: bool = False,
) -> Measure:
    finite = tuple(v if v is not None and isfinite(v) else None for v in values)
    inner = [v for v in core if v is not None and isfinite(v)]
    axis = axis_of([v for v in finite if v is not None], name, core=inner, whole=whole)
    return Measure(name, finite, axis, better)


def _value(trial: Trial, name: str) -> float | None:
    if name in trial.values:
        return trial.values[name]
    if trial.digest and name == "params":
        return trial.params
    return trial.macs if trial.digest and name == "macs" else None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
