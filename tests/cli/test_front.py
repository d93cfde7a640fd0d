"""Tables of what a search found."""

from __future__ import annotations

import math

import pytest

from archdsl.cli.front import claims_table
from archdsl.diagnostics import Source, Span
from archdsl.nas.plan import ClaimPlan, Comparison, Side
from archdsl.nas.results import ClaimResult, ComparisonResult, Verdict


@pytest.mark.parametrize(
    ("metric", "mean", "shown"),
    [
        ("accuracy", 0.02, ["", "+0.0200", "+0.0100 .. +0.0300", "not known"]),
        ("latency", 0.0002, ["", "+0.2 ms", "+0.1 ms .. +0.3 ms", "not known"]),
        ("params", 12000.0, ["", "+12 k", "+6 k .. +18 k", "not known"]),
    ],
)
def test_claims_are_told_in_the_unit_of_their_metric(metric: str, mean: float, shown: list[str]) -> None:
    side = Side(metric, (), 0.0, f"{metric}()", Span(Source("x", ""), 1, 1, 1, 1))
    text = f"{metric}() > {metric}()"
    found = ComparisonResult(
        text, (mean,), (0.0,), (mean,), mean, 0.5 * mean, 1.5 * mean, math.nan, Verdict.SUPPORTED
    )
    plan = ClaimPlan("more", (Comparison(side, side, True, text),))
    table = claims_table([ClaimResult(plan, (found,), Verdict.SUPPORTED)])
    assert [list(column.cells)[1] for column in table.columns][1:] == shown
