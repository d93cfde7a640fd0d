"""Groups of ways that compute the same: first compared with the truth, then timed in turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from archdsl.cli.bench.journal import Row
from archdsl.cli.bench.problems import worst
from archdsl.cli.bench.timing import Timed

ALLOWED = {"float32": 1e-4, "bfloat16": 3e-2, "float16": 4e-3}
"""Largest error against the largest expected value of a tensor, by the type of the sequence."""

Outputs = tuple[Tensor, ...]


@dataclass(slots=True)
class Group:
    """Ways to the same result.

    Args:
        ways: by name.
        absent: names of others, and why they are not run.
    """

    ways: dict[str, Callable[[], Outputs]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def measured(
    group: Group,
    truth: Callable[[str], Outputs],
    allowed: float,
    timed: Callable[[Mapping[str, Callable[[], Outputs]]], Mapping[str, Timed]],
) -> Row:
    """Compares every way with what it has to give, and times those that are right.

    Args:
        group: what to measure.
        truth: what each way has to give, by its name.
        allowed: the largest error of a tensor, against the largest value expected of it.
        timed: measures ways, by name.

    Returns:
        `milliseconds` by name, `errors` by name, `not_run` with reasons by name.
    """
    errors: dict[str, float] = {}
    absent = dict(group.absent)
    right: dict[str, Callable[[], Outputs]] = {}
    for name, way in group.ways.items():
        try:
            found = way()
        except Exception as raised:  # of others too, and of kernels that a device does not take
            absent[name] = f"wrong: it raises {type(raised).__name__}: {_first_line(raised)}"
            continue
        error = worst(found, truth(name))
        errors[name] = error if math.isfinite(error) else math.inf
        if error <= allowed:
            right[name] = way
        else:
            absent[name] = f"wrong: off by {error:.2g}, {allowed:.2g} is allowed"
    times = timed(right)
    return {
        "milliseconds": {name: time.milliseconds() for name, time in times.items()},
        "errors": {name: f"{error:.2g}" for name, error in errors.items()},
        "not_run": absent,
    }


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def medians(row: Row) -> dict[str, float]:
    """The times of a row by name, in milliseconds."""
    times = row["milliseconds"]
    assert isinstance(times, dict)
    return {name: time["median"] for name, time in times.items()}


def reasons(row: Row) -> dict[str, str]:
    """Why ways of a row were not run, by name."""
    absent = row["not_run"]
    assert isinstance(absent, dict)
    return absent


def ratios(row: Row, against: str) -> dict[str, float]:
    """Times in a row over that of one of them; empty where that one was not run."""
    times = medians(row)
    base = times.get(against)
    return {} if not base else {n: round(t / base, 3) for n, t in times.items() if n != against}


def wrong(rows: Mapping[str, Row], own: Callable[[str], bool]) -> list[str]:
    """Those of our ways that were off in any row, with the row."""
    return [
        f"{name} in {key}: {reason}"
        for key, row in rows.items()
        for name, reason in reasons(row).items()
        if own(name) and reason.startswith("wrong")
    ]
