"""From the `claim` lines of a search to comparisons of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from archdsl.diagnostics import Span, did_you_mean
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.variation import Sight
from archdsl.lang import tree as t
from archdsl.lang.to_text import to_text
from archdsl.nas.forms import unwrapped
from archdsl.nas.objectives import DEFAULT_BATCH, MAX_BATCH
from archdsl.nas.plan import COUNTED, MEASURED, ClaimPlan, Comparison, Side
from archdsl.tasks import Task

Try = Callable[[Sequence[t.Argument]], None]
"""Tries arguments of a side as changes of the base; raises what is wrong with them."""


@dataclass(frozen=True, slots=True)
class ClaimReader:
    """Reads claims.

    Args:
        sight: what their values see.
        task: whose scores they compare.
        attempt: tries the changes of a side.
        report: for mistakes.
    """

    sight: Sight
    task: Task | None
    attempt: Try
    report: Report

    def read(self, claims: Sequence[t.Claim]) -> tuple[ClaimPlan, ...]:
        """All claims; mistakes go to the report."""
        plans: list[ClaimPlan] = []
        for claim in claims:
            if any(p.finding == claim.finding for p in plans):
                self._tell(
                    "two claims have the same text", claim.finding_span, "claimed before", "tell them apart"
                )
            if not claim.conditions:
                self._tell(
                    "a claim compares something", claim.span, "empty",
                    f"write `accuracy({_EXAMPLE}) > accuracy()` in it",
                )  # fmt: skip
            comparisons = []
            for condition in claim.conditions:
                with self.report.guard():
                    comparisons.append(self._comparison(condition))
            plans.append(ClaimPlan(claim.finding, tuple(comparisons)))
        return tuple(plans)

    def _tell(self, message: str, span: Span, label: str, help: str) -> None:
        self.report.add(*_wrong(message, span, label, help).diagnostics)

    def _comparison(self, expr: t.Expr) -> Comparison:
        expr = unwrapped(expr)
        if isinstance(expr, t.Logic | t.Not):
            step = (
                "write each comparison on a line of its own" if isinstance(expr, t.Logic) else "turn it round"
            )
            raise _wrong("a line of a claim is one comparison", expr.span, "found a condition", step)
        if not isinstance(expr, t.Compare) or expr.operator not in (">", "<"):
            label = f"found `{expr.operator}`" if isinstance(expr, t.Compare) else "compares nothing"
            raise _wrong(
                "a claim says what is larger", expr.span, label,
                f"write `accuracy({_EXAMPLE}) > accuracy()`",
            )  # fmt: skip
        left, right = self._side(expr.left), self._side(expr.right)
        if (left.metric, left.batch) != (right.metric, right.batch):
            raise _wrong(
                "a claim compares one metric", expr.span, f"`{left.metric}` with `{right.metric}`",
                "take the same metric on both sides",
            )  # fmt: skip
        if dict(left.changes) == dict(right.changes):
            raise _wrong(
                "a claim compares two variants", expr.span, "the same on both sides",
                "change a place on one of them",
            )  # fmt: skip
        return Comparison(left, right, expr.operator == ">", to_text(expr))

    def _side(self, expr: t.Expr) -> Side:
        metric, plus = self._sum(unwrapped(expr))
        scores = type(self.task).scores if self.task is not None else ("accuracy",)
        known = (*scores, *COUNTED, *MEASURED)
        callee = metric.callee if isinstance(metric, t.Call) else metric
        if not isinstance(callee, t.Name) or not isinstance(metric, t.Call | t.Name):
            raise _wrong(
                "a side of a claim is a metric", expr.span, f"expected one of: {', '.join(known)}",
                f"write `accuracy({_EXAMPLE})`, or `accuracy()` for the base",
            )  # fmt: skip
        if callee.id not in known:
            raise _wrong(
                f"there is no metric `{callee.id}`", callee.span, f"expected one of: {', '.join(known)}",
                did_you_mean(callee.id, known, "name one of them"),
            )  # fmt: skip
        batch = DEFAULT_BATCH if callee.id in MEASURED else None
        changes: dict[str, t.Argument] = {}
        for argument in metric.arguments if isinstance(metric, t.Call) else ():
            name = str(argument.path) if argument.path is not None else ""
            if not name:
                raise _wrong(
                    f"`{callee.id}` takes changes of the base", argument.value.span, "a value without a path",
                    f"write `{callee.id}({_EXAMPLE})`",
                )  # fmt: skip
            if name in changes:
                raise _wrong(f"`{name}` is given twice", argument.span, "given before", "leave one out")
            if name == "batch" and batch is not None:
                batch = self._batch(argument.value)
            else:
                changes[name] = argument
        self.attempt(tuple(changes.values()))
        texts = tuple((name, to_text(a.value)) for name, a in changes.items())
        return Side(callee.id, texts, float(plus), to_text(expr), expr.span, batch)

    def _batch(self, expr: t.Expr) -> int:
        value = self.sight.value(expr)
        if not isinstance(value, Fraction) or value.denominator != 1 or not 1 <= value <= MAX_BATCH:
            raise _wrong(
                "a batch is a whole number", expr.span, "not one", f"write one from 1 to {MAX_BATCH:,}"
            )
        return int(value)

    def _sum(self, expr: t.Expr) -> tuple[t.Expr, Fraction]:
        """A metric, and the number that is added to it."""
        plus = Fraction(0)
        while isinstance(expr, t.Binary) and expr.operator in "+-":
            value = self.sight.value(expr.right)
            if not isinstance(value, Fraction):
                raise _wrong(
                    "a side of a claim is a metric, plus a number", expr.right.span, "no number",
                    "write `accuracy() + 0.01`",
                )  # fmt: skip
            plus += value if expr.operator == "+" else -value
            expr = unwrapped(expr.left)
        return expr, plus


_EXAMPLE = "s3.blocks = 2 x attn"


def _wrong(message: str, span: Span, label: str, help: str) -> SpecError:
    return mistake("E409", message, span, label, help=help)
