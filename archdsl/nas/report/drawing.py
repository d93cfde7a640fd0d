"""Places in the pictures of the report, and the data from which its script draws them anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from archdsl.nas.report.axes import Axis
from archdsl.nas.report.curves import Chart
from archdsl.nas.report.measures import Measure, Point, label, line
from archdsl.nas.report.words import one_digit, run_once
from archdsl.nas.results import Results, State, Trial

Box = tuple[int, int, int, int]
"""Left, top, width and height of a frame, in pixels."""
BOX: Box = (72, 34, 712, 350)
"""Of the scatter."""
WIDE: Box = (72, 34, 1022, 300)
"""Of the learning curves."""
NO_VALUE = one_digit(BOX[1] + BOX[3] + 66)
"""Where marks stand that have no value on the upright axis."""
_PAINTED = (State.FAILED, State.STOPPED, State.RUNNING, State.COMPLETE)


def marks(results: Results, across: Measure, up: Measure) -> Iterator[tuple[Trial, str, str]]:
    """Trials with the places of their marks, the most important ones last, so that they lie on top."""
    front = set(results.front)
    best = results.winner.trial.number if results.winner else -1
    rows = [
        (t, x, y)
        for t, x, y in zip(results.trials, across.values, up.values, strict=True)
        if t.state in _PAINTED and x is not None
    ]
    for t, x, y in sorted(
        rows, key=lambda r: (r[0].number == best, r[0].number in front, _PAINTED.index(r[0].state))
    ):
        height = NO_VALUE if y is None else one_digit(BOX[1] + BOX[3] * (1 - up.axis.place(y)))
        yield t, one_digit(BOX[0] + BOX[2] * across.axis.place(x)), height


def path_data(points: Sequence[Point], box: Box, across: Axis, up: Axis) -> str:
    """The points as SVG path data, a dot where there is one, nothing where there is none."""
    left, top, width, height = box
    places = [
        f"{one_digit(left + width * across.place(x))} {one_digit(top + height * (1 - up.place(y)))}"
        for x, y in points
    ]
    if len(places) == 1:
        return f"M{places[0]}h0"
    return f"M{'L'.join(places)}" if places else ""


def curve_paths(results: Results, chart: Chart) -> Iterator[tuple[Trial, str, bool]]:
    """Trials with their curves as path data and whether they are one point, the most important ones last;
    also those that have no curve here, but may in another chart."""
    front = set(results.front)
    best = results.winner.trial.number if results.winner else -1
    by_index = {c.index: c for c in chart.curves}
    order = sorted(
        (i for i, t in enumerate(results.trials) if t.reports),
        key=lambda i: (results.trials[i].number == best, results.trials[i].number in front),
    )
    for i in order:
        curve = by_index.get(i)
        points = [] if curve is None else list(zip(curve.epochs, curve.values, strict=True))
        yield results.trials[i], path_data(points, WIDE, chart.across, chart.up), len(points) == 1


def data(
    results: Results, folder: Path, found: Sequence[Measure], drawn: Sequence[Chart], *, commands: bool
) -> str:
    """JSON for the page's script; without `<`, so that nothing in it can end the element around it."""
    lines = {
        f"{i},{j}": [[_short(x), _short(y)] for x, y in corners]
        for i, across in enumerate(found)
        for j, up in enumerate(found)
        if i != j and (corners := line(results, across, up))
    }
    content = {
        "trials": [t.number for t in results.trials],
        "axes": [
            {"name": m.name, "label": label(m), "beyond": m.beyond, **_axis(m.axis)}
            | {"values": [_short(v) for v in m.values]}
            for m in found
        ],
        "lines": lines,
        "charts": [
            {
                "name": c.name,
                "across": _axis(c.across),
                "up": _axis(c.up),
                "curves": [[k.index, k.epochs, [_short(v) for v in k.values]] for k in c.curves],
            }
            for c in drawn
        ],
        "run": _commands(results, folder) if commands else {"head": [], "tail": [], "of": []},
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _axis(axis: Axis) -> dict[str, Any]:
    ticks = [[_short(value), label] for value, label in axis.ticks]
    return {"low": axis.low, "high": axis.high, "log": axis.log, "ticks": ticks}


def _short(value: float | None) -> float | None:
    """Five digits, which is more than a picture shows."""
    return None if value is None else float(f"{value:.5g}") if value % 1 else int(value)


def _commands(results: Results, folder: Path) -> dict[str, Any]:
    """Commands as what stands before the number of the trial and what stands behind it; equal pieces are
    written once."""
    heads: dict[str, int] = {}
    tails: dict[str, int] = {}
    of: list[list[int] | None] = []
    for trial in results.trials:
        before, number, after = run_once(folder, trial).partition(f"{trial.number}/model.arch")
        if not number:
            of.append(None)
            continue
        tail = f"/model.arch{after}"
        of.append([heads.setdefault(before, len(heads)), tails.setdefault(tail, len(tails))])
    return {"head": list(heads), "tail": list(tails), "of": of}
