"""`report.html`: everything a search found, as one file that needs no network."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from archdsl.graph.architecture import Architecture
from archdsl.nas.plan import COUNTED, MEASURED, deciding
from archdsl.nas.report.curves import charts
from archdsl.nas.report.drawing import BOX, NO_VALUE, WIDE, curve_paths, data, marks, path_data
from archdsl.nas.report.intervals import interval, mean
from archdsl.nas.report.measures import first_axes, label, line, measures
from archdsl.nas.report.winner import winner_arch, winner_diff
from archdsl.nas.report.words import (
    cell,
    difference_text,
    one_digit,
    ordered,
    run_once,
    shortened,
    value_text,
    varied,
)
from archdsl.nas.results import Results, State

WEIGHTS = "winner.safetensors"
LONG = 22
"""Characters of a value from which its column is wide."""
LIMIT = 1_000_000
"""Bytes of the file, at most."""
_LEGEND = (
    ("complete front winner", "winner", "winner"),
    ("complete front", "front", "on the front"),
    ("complete", "complete", "dominated"),
    ("stopped", "stopped", "stopped early: values of its last report"),
    ("failed", "failed", "failed"),
    ("running", "running", "running"),
)


@dataclass(frozen=True, slots=True)
class _Detail:
    """How much is shown, so that the file stays small."""

    rows: int
    points: int
    commands: bool
    text: int


_DETAILS = (
    _Detail(1000, 40, True, 60_000),
    _Detail(1000, 12, True, 60_000),
    _Detail(1000, 6, False, 40_000),
    _Detail(300, 6, False, 30_000),
    _Detail(60, 6, False, 20_000),
    _Detail(20, 4, False, 4_000),
)


def report_html(
    results: Results,
    folder: Path,
    base: Architecture | None = None,
    winner: Architecture | None = None,
) -> str:
    """The page; below `LIMIT` bytes, where needed by leaving out first points of curves, then rows.

    Args:
        folder: the study's, as the commands are to write it.
        base: the architecture that is varied, for the diff.
        winner: the winner's architecture, for its picture.
    """
    text = ""
    for detail in _DETAILS:
        text = _page(results, folder, base, winner, detail)
        if len(text.encode()) < LIMIT:
            break
    return text


def _page(
    results: Results, folder: Path, base: Architecture | None, winner: Architecture | None, detail: _Detail
) -> str:
    from jinja2 import Environment, StrictUndefined

    shown = _shown(results, detail.rows)
    found = measures(shown)
    across, up = first_axes(shown, found)
    x, y = found[across], found[up]
    drawn = charts(shown, detail.points)
    placed = list(marks(shown, x, y))
    seen = Counter(t.state for t in results.trials)
    first = deciding(results.objectives)
    names = [o.text for o in results.objectives]
    names += [m.name for m in found if m.name not in (*names, *varied(shown), "seconds", "epochs", "trial")]
    css, js = _file("page.css"), _file("page.js")
    arch = picture = ""
    diff: list[tuple[str, str]] = []
    if results.winner is not None and winner is not None:
        arch = winner_arch(results, results.winner, winner, run_once(folder, results.winner.trial))
        picture = winner.to_svg().replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)
        if base is not None:
            diff = _diff_lines(_cut(winner_diff(base, winner), detail.text))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "value": value_text,
        "difference": difference_text,
        "short": shortened,
        "cell": cell,
        "one": one_digit,
        "interval": interval,
        "mean": mean,
        "ordered": ordered,
    }
    return environment.from_string(_file("page.html.jinja")).render(
        r=results,
        version=results.conditions.get("archdsl", ""),
        css=css,
        js=js,
        style_hash=_hash(css),
        script_hash=_hash(js),
        data=data(shown, folder, found, drawn, commands=detail.commands),
        summary=_summary(seen),
        counts=[(s.value, seen[s]) for s in State if seen[s]],
        trained=sum(n for s, n in seen.items() if s is not State.REFUSED),
        front=set(results.front),
        front_trials=[t for n in results.front[:12] for t in shown.trials if t.number == n],
        best=results.winner.trial.number if results.winner else None,
        deciding=first,
        is_score=first.metric not in (*MEASURED, *COUNTED),
        measures=found,
        labels=[label(m) for m in found],
        axis_of={m.name: i for i, m in enumerate(found)},
        across=across,
        up=up,
        box=BOX,
        wide=WIDE,
        line=path_data(line(shown, x, y), BOX, x.axis, y.axis),
        marks=placed,
        beyond=x.beyond or y.beyond,
        missing=any(place == NO_VALUE for _, _, place in placed),
        legend=[entry for entry in _LEGEND if _in_legend(entry[1], seen, results)],
        charts=drawn,
        curves=list(curve_paths(shown, drawn[0])) if drawn else [],
        rows=shown.trials,
        failures=Counter(t.reason for t in results.trials if t.state is State.FAILED).most_common(3),
        left_out=len(results.trials) - len(shown.trials),
        columns=[*names, "seconds", "epochs"],
        paths=varied(shown),
        long={p for p in varied(shown) if any(len(t.changes.get(p, "")) > LONG for t in shown.trials)},
        commands=_commands(results, folder),
        picture=picture if len(picture) <= 5 * detail.text else "",
        diff=diff,
        source=arch if len(arch) <= detail.text else "",
        text=_search_lines(_cut(results.text, detail.text)),
    )


def _shown(results: Results, rows: int) -> Results:
    """The results with so many trials: the front, then what is complete, then the others."""
    if len(results.trials) <= rows:
        return results
    front = set(results.front)
    order = (State.COMPLETE, State.RUNNING, State.STOPPED, State.FAILED, State.REFUSED)
    ranked = sorted(results.trials, key=lambda t: (t.number not in front, order.index(t.state), -t.number))
    kept = {t.number for t in ranked[:rows]}
    return replace(results, trials=tuple(t for t in results.trials if t.number in kept))


def _file(name: str) -> str:
    return (files("archdsl.nas.report") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _summary(seen: Mapping[State, int]) -> str:
    total = sum(seen.values())
    parts = [f"{seen[s]} {s.value}" for s in State if seen.get(s)]
    return f"{total} trials: {', '.join(parts)}" if total else "no trials yet"


def _in_legend(symbol: str, seen: Mapping[State, int], results: Results) -> bool:
    if symbol == "winner":
        return results.winner is not None
    if symbol == "front":
        return len(results.front) > 1
    return bool(seen.get(State(symbol))) and (
        symbol != "complete" or seen[State.COMPLETE] > len(results.front)
    )


def _commands(results: Results, folder: Path) -> list[str]:
    if results.winner is None or not results.finished:
        return []
    return [
        shlex.join(["archdsl", "build", str(folder / "winner.arch"), "--weights", str(folder / WEIGHTS)]),
        run_once(folder, results.winner.trial),
    ]


def _cut(text: str, length: int) -> str:
    """At most so many characters, whole lines where possible, with a word on what is missing."""
    if len(text) <= length:
        return text
    left = text[length:].count("\n") + 1
    return f"{text[:length]}\n... {left} more lines\n"


def _diff_lines(text: str) -> list[tuple[str, str]]:
    classes = {"+": "add", "-": "del", "@": "at"}
    return [(classes.get(line[:1], ""), line) for line in text.splitlines()]


def _search_lines(text: str) -> list[tuple[str, str]]:
    return [("note" if line.lstrip().startswith("#") else "", line) for line in text.splitlines()]
