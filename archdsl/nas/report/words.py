"""Numbers, times and commands as the report and the terminal write them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

from archdsl.nas.plan import Objective
from archdsl.nas.results import Results, Trial

_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def value_text(metric: str, value: float | None) -> str:
    """A value in the unit of its metric: `0.9812`, `1.23 M`, `4.10 ms`, `820 /s`; `-` where there is none.

    Args:
        metric: as in `Objective`, or its text.
    """
    if value is None:
        return "-"
    if not isfinite(value):
        return str(value)
    kind = metric.partition("(")[0]
    if kind in ("params", "macs"):
        return count_text(value)
    if kind == "latency":
        return seconds_text(value)
    if kind == "throughput":
        return f"{count_text(round(value, 1))} /s"
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"
    return f"{value:.3g}"


def count_text(number: float) -> str:
    """Three or four digits with a unit: `9.264 M`, `820`."""
    for size, unit in _UNITS:
        if abs(number) >= size:
            return f"{number / size:.4g} {unit}"
    return f"{number:.4g}"


def seconds_text(seconds: float) -> str:
    """`0.21 ms`, `4.1 s`, `3 min 20 s`, `2 h 05 min`."""
    if not isfinite(seconds):
        return str(seconds)
    if seconds < 0:
        return f"-{seconds_text(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms" if seconds else "0 s"
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def changes_text(trial: Trial) -> str:
    """`s3.blocks = scan + attn, train.lr = 0.001`; `as written` where nothing is changed."""
    return ", ".join(f"{path} = {text}" for path, text in trial.changes.items()) or "as written"


def ordered(values: Mapping[str, float], objectives: Sequence[Objective]) -> dict[str, float]:
    """The values, objectives first."""
    return {o.text: values[o.text] for o in objectives if o.text in values} | dict(values)


def values_text(values: Mapping[str, float], objectives: Sequence[Objective]) -> str:
    """`accuracy 0.9812, macs 1.23 M`, objectives first."""
    return ", ".join(f"{name} {value_text(name, v)}" for name, v in ordered(values, objectives).items())


def varied(results: Results) -> tuple[str, ...]:
    """All paths that some trial changes, in the order in which they first occur."""
    return tuple(dict.fromkeys(path for t in results.trials for path in t.changes))


def model_file(folder: Path, trial: Trial) -> Path:
    """Where the architecture of a trial lies as canonical `.arch` text."""
    return folder / "trials" / f"trial-{trial.number}" / "model.arch"


def run_once(folder: Path, trial: Trial) -> str:
    """The command that trains a trial again from its seeds, as far as it came, and prints the same values;
    empty for what was never trained."""
    if not trial.reports or not trial.task:
        return ""
    command = ["archdsl", "run-once", str(model_file(folder, trial)), "--task", trial.task]
    seeds = len(trial.reports[-1].seeds)
    command += ["--seeds", str(seeds)] if seeds > 1 else ["--seed", "0"]
    return shlex.join([*command, "--epochs", str(trial.epochs)])


def difference_text(metric: str, value: float) -> str:
    """A value with its sign."""
    return f"{'+' if value > 0 else ''}{value_text(metric, value)}"


def shortened(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def one_digit(value: float) -> str:
    """A place in a picture: one digit behind the point at most."""
    return f"{value:.1f}".removesuffix(".0")


def cell(trial: Trial, column: str) -> str:
    """What a table says of a trial; empty where it says nothing."""
    if column == "seconds":
        return f"{trial.seconds:.1f}" if trial.reports else ""
    if column == "epochs":
        return str(trial.epochs) if trial.digest else ""
    if column in ("params", "macs") and column not in trial.values:
        return value_text(column, getattr(trial, column)) if trial.digest else ""
    return value_text(column, trial.values[column]) if column in trial.values else ""
