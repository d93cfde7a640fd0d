"""Groups of ways that compute the same: first compared with the truth, then timed in turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from archdsl.cli.bench.journal import Row
from archdsl.cli.bench.problems import worst
from archdsl.cli.bench.timing import Plan, in_turns

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
    dtype: str,
    plan: Plan,
    now: Callable[[], float],
    allowed: float | None = None,
) -> Row:
    """Compares every way with the truth that is given for its name, and times those that are right.

    Args:
        group: what to measure.
        truth: what each way has to give.
        dtype: of the sequences.
        plan, now: see `in_turns`.
        allowed: the largest error, that of the type where it is None.

    Returns:
        `milliseconds` by name, `errors` by name, `not_run` with reasons by name.
    """
    bound = ALLOWED[dtype] if allowed is None else allowed
    errors: dict[str, float] = {}
    absent = dict(group.absent)
    right: dict[str, Callable[[], Outputs]] = {}
    for name, way in group.ways.items():
        error = worst(way(), truth(name))
        errors[name] = error if math.isfinite(error) else math.inf
        if error <= bound:
            right[name] = way
        else:
            absent[name] = f"wrong: off by {error:.2g}, {bound:.2g} is allowed"
    times = in_turns(right, plan, now)
    return {
        "milliseconds": {name: time.milliseconds() for name, time in times.items()},
        "errors": {name: f"{error:.2g}" for name, error in errors.items()},
        "not_run": absent,
    }


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


def wrong(rows: Mapping[str, Row], names: Sequence[str]) -> list[str]:
    """Those of the ways that were off in any row, with the row."""
    return [
        f"{name} in {key}: {reason}"
        for key, row in rows.items()
        for name, reason in reasons(row).items()
        if name in names and reason.startswith("wrong")
    ]
