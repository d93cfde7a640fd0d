"""Results made up for tests of the report."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache

import archdsl
from archdsl.diagnostics import Source, Span
from archdsl.nas.jobs import Report
from archdsl.nas.plan import ClaimPlan, Comparison, Objective, Side
from archdsl.nas.results import ClaimResult, ComparisonResult, Results, State, Trial, Verdict, Winner

ACCURACY = Objective("accuracy", True)
LATENCY = Objective("latency", False, 64)
PARAMS = Objective("params", False)
HOSTILE = "</script><img src=x onerror=\"console.error('let in')\">{{ 7 * 7 }}'\"&"
RUNGS = (3, 9, 20)


@cache
def base() -> archdsl.Architecture:
    """What is varied."""
    return archdsl.load("hybrid")


@cache
def varied() -> archdsl.Architecture:
    """A variant of it."""
    return archdsl.load("hybrid", overrides={"s3.blocks": "2 x scan + 2 x gated_conv + 2 x window_attn"})


def results(
    trials: int, objectives: Sequence[Objective] = (ACCURACY, LATENCY), text: str = "", finished: bool = True
) -> Results:
    """A study of so many trials; `text` is put behind everything that a user writes."""
    made = tuple(_trial(random.Random(i), i, text) for i in range(trials))
    complete = [t for t in made if t.state is State.COMPLETE]
    complete.sort(key=lambda t: -t.values["accuracy"])
    front: list[Trial] = []
    for trial in complete:
        if not front or trial.values[LATENCY.text] < front[-1].values[LATENCY.text]:
            front.append(trial)
    winner = None
    if front:
        winner = Winner(front[0], {"accuracy": 0.9812}, ({"accuracy": 0.98}, {"accuracy": 0.9824}))
    return Results(
        "hybrid_stages",
        f"search hybrid_stages {{\n  # a comment{text}\n}}\n",
        tuple(objectives),
        made,
        tuple(t.number for t in front),
        (
            _claim(f"attention belongs last{text}", 0.009, Verdict.SUPPORTED),
            _claim("no", -0.01, Verdict.CONTRADICTED),
        ),
        winner,
        {"machine": f"2 cores{text}", "archdsl": "0.1.0", "seconds": "12"},
        finished,
        4,
        base().to_source(),
    )  # fmt: skip


def _trial(chance: random.Random, number: int, text: str) -> Trial:
    blocks = " + ".join(chance.choice(["scan", "attn", "cnn"]) for _ in range(4))
    changes = {"s3.blocks": blocks + text, "train.lr": f"{10 ** chance.uniform(-4, -2):.4g}"}
    state = chance.choices([State.COMPLETE, State.STOPPED, State.FAILED, State.REFUSED], [6, 3, 1, 1])[0]
    reached = {State.COMPLETE: 3, State.STOPPED: 1, State.FAILED: 1, State.REFUSED: 0}[state]
    reports = []
    for k in range(reached):
        accuracy = 0.98 * (1 - math.exp(-RUNGS[k] / 4)) + chance.gauss(0, 0.003)
        values = {"accuracy": accuracy, LATENCY.text: 0.004 * chance.uniform(1, 3)}
        first = RUNGS[k - 1] + 1 if k else 1
        curve = [{"epoch": float(e), "train_loss": 2 / e} for e in range(first, RUNGS[k] + 1)]
        reports.append(Report(RUNGS[k], values, [{"accuracy": accuracy}] * 2, curve, 1.5))
    known = state is not State.REFUSED
    counted = {"params": 50_000.0 + number, "macs": 1e6} if known else {}
    return Trial(
        number, state, "" if state is State.COMPLETE else f"why{text}", {}, changes,
        f"{number:064x}" if known else "", f"k{number}", int(counted.get("params", 0)),
        int(counted.get("macs", 0)), {**counted, **(reports[-1].values if reports else {})}, tuple(reports),
        1.5 * reached, "digits(epochs = 20, lr = 0.001)" if known else "", "local",
        varied().to_source() if known else "",
    )  # fmt: skip


def _claim(finding: str, mean: float, verdict: Verdict) -> ClaimResult:
    place = Span(Source("x", ""), 1, 1, 1, 1)
    side = Side("accuracy", (), 0.0, "accuracy()", place)
    text = "accuracy(s3.blocks = 4 x attn) > accuracy()"
    differences = (mean - 0.002, mean + 0.002)
    result = ComparisonResult(
        text, tuple(0.97 + d for d in differences), (0.97, 0.97), differences, mean, mean - 0.004,
        mean + 0.004, 0.005, verdict,
    )  # fmt: skip
    return ClaimResult(ClaimPlan(finding, (Comparison(side, side, True, text),)), (result,), verdict)
