"""Ranges of numbers: `low .. high [step s] [log]`."""

from __future__ import annotations

from fractions import Fraction

from archdsl.graph.elaboration.report import mistake
from archdsl.graph.variation import Sight
from archdsl.lang import tree as t
from archdsl.lang.to_text import number_text
from archdsl.nas.domains import Numbers
from archdsl.nas.forms import is_choice, walk
from archdsl.nas.references import tied
from archdsl.nas.space import Interval


def read_range(expr: t.Range, name: str, sight: Sight) -> Numbers:
    """`low .. high [step s] [log]`: whole numbers where the ends are written as whole numbers and so is the
    step, if there is one; else real numbers.

    Raises:
        SpecError, DiagnosticError: E406, and mistakes of the numbers.
    """
    low, high = (_number(e, sight) for e in (expr.low, expr.high))
    step = None if expr.step is None else _number(expr.step, sight)
    if low >= high:
        what = "is empty" if low > high else "holds one number"
        raise mistake(
            "E406", f"the range {what}", expr.span, f"from {number_text(low)} to {number_text(high)}",
            help="write the smaller end first" if low > high else "write two ends that differ",
        )  # fmt: skip
    if expr.log and low <= 0:
        raise mistake(
            "E406", "a logarithmic range begins above 0", expr.low.span, f"this is {number_text(low)}",
            help="begin it at a small number, or leave `log` out",
        )  # fmt: skip
    if step is not None and expr.step is not None:
        _check_step(expr, low, high, step)
    whole = all(_is_whole(e, n) for e, n in ((expr.low, low), (expr.high, high)))
    whole = whole and (step is None or step.denominator == 1)
    if whole and step is None:
        step = Fraction(1)
    domain = Interval(name, float(low), float(high), None if step is None else float(step), expr.log, whole)
    return Numbers(domain, low, high, step, expr.span)


def _check_step(expr: t.Range, low: Fraction, high: Fraction, step: Fraction) -> None:
    span = expr.step.span if expr.step is not None else expr.span
    if expr.log:
        raise mistake(
            "E406", "a range has a step or a logarithm", span, "and `log` stands behind it",
            help="leave one out",
        )  # fmt: skip
    if step <= 0:
        raise mistake(
            "E406", "a step goes up", span, f"this is {number_text(step)}", help="write a positive step"
        )
    if (high - low) % step:
        last = low + (high - low) // step * step
        near = (
            f"end at {number_text(last)} or {number_text(last + step)}"
            if last > low
            else "write a smaller step"
        )
        raise mistake(
            "E406", "the steps do not end at the end of the range", expr.high.span,
            f"{number_text(high)} is no step of {number_text(step)} from {number_text(low)}", help=near,
        )  # fmt: skip


def _number(expr: t.Expr, sight: Sight) -> Fraction:
    if any(is_choice(e) for e in walk(expr)):
        raise mistake("E406", "the ends of a range are numbers", expr.span, "a choice", help="write a number")
    if tied(expr):
        raise mistake(
            "E406", "the ends of a range are numbers", expr.span, "drawn on another line",
            help="write `one_of(...)`, where values of other lines may stand",
        )  # fmt: skip
    value = sight.value(expr)
    if not isinstance(value, Fraction):
        raise mistake(
            "E406", "the ends of a range are numbers", expr.span, "no number",
            help="write `4 .. 16`, or `one_of(...)` for anything else",
        )  # fmt: skip
    return value


def _is_whole(expr: t.Expr, value: Fraction) -> bool:
    """Whether an end is a whole number and looks like one: `1`, `4K`, never `1.0`."""
    written = any(isinstance(e, t.Number) and "." in e.text for e in walk(expr))
    return value.denominator == 1 and not written
