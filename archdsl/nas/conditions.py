"""`require` lines of a search: conditions on what is counted of an architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

from archdsl.diagnostics import DiagnosticError, did_you_mean
from archdsl.graph.elaboration.arithmetic import FUNCTIONS, compare
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.scopes import Value
from archdsl.graph.variation import Sight
from archdsl.lang import tree as t
from archdsl.lang.to_text import to_text
from archdsl.nas.forms import parts_of
from archdsl.nas.plan import COUNTED


class Counts(Protocol):
    """What is counted of a candidate."""

    @property
    def params(self) -> int:
        """Trainable parameters."""
        ...

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        ...


@dataclass(frozen=True, slots=True)
class _Example:
    params: int = 1_000_003
    macs: int = 100_000_007


@dataclass(frozen=True, slots=True)
class Requirement:
    """One `require` line.

    Args:
        line: as written.
        sight: what its values see.
    """

    line: t.Require
    sight: Sight
    _sides: dict[int, Value] = field(default_factory=dict, compare=False, repr=False)

    def excess(self, candidate: Counts) -> float | None:
        """How far the first unmet comparison is off, relative to its bound; None where the line is met.

        A candidate for which the line has no value (a division by zero) does not meet it.
        """
        try:
            return self.tried(candidate)
        except DiagnosticError:
            return 1.0

    def tried(self, candidate: Counts) -> float | None:
        """As `excess`.

        Raises:
            DiagnosticError: where the line is no condition on numbers.
        """
        metrics = {"params": Fraction(candidate.params), "macs": Fraction(candidate.macs)}
        return self._unmet(self.line.condition, metrics)

    def reason(self, candidate: Counts) -> str:
        """Why a candidate is refused, on one line."""
        what = self.line.message or f"does not meet `require {to_text(self.line.condition)}`"
        return f"{what}: {self.found(candidate)}"

    def found(self, candidate: Counts) -> str:
        """The metrics of a candidate that the line looks at: `params = 4,100,000`."""
        held = {"params": candidate.params, "macs": candidate.macs}
        return ", ".join(f"{n} = {held[n]:,}" for n in dict.fromkeys(metrics_in(self.line.condition)))

    def _unmet(self, expr: t.Expr, metrics: Mapping[str, Fraction]) -> float | None:
        match expr:
            case t.Parens(inner=inner):
                return self._unmet(inner, metrics)
            case t.Logic(operator="and", left=left, right=right):
                first = self._unmet(left, metrics)
                return first if first is not None else self._unmet(right, metrics)
            case t.Logic(left=left, right=right):
                either = self._unmet(left, metrics), self._unmet(right, metrics)
                return None if None in either else min(e for e in either if e is not None)
            case t.Compare(operator=operator, left=left, right=right):
                a, b = self._side(left, metrics), self._side(right, metrics)
                if isinstance(a, Fraction) and isinstance(b, Fraction):
                    held: Value = compare(operator, a, b, left.span, right.span)
                else:
                    held = self.sight.value(expr, metrics)
                if held is True or not isinstance(a, Fraction) or not isinstance(b, Fraction):
                    return None if held is True else 1.0
                bound = a if any(metrics_in(right)) and not any(metrics_in(left)) else b
                return float(abs(a - b) / abs(bound)) if bound else 1.0
        held = self.sight.value(expr, metrics)
        if not isinstance(held, bool):
            raise DiagnosticError(*_no_condition(expr).diagnostics)
        return None if held else 1.0

    def _side(self, expr: t.Expr, metrics: Mapping[str, Fraction]) -> Value:
        """The value of one side of a comparison; one that no candidate changes is computed once."""
        if isinstance(expr, t.Name) and expr.id in metrics:
            return metrics[expr.id]
        known = self._sides.get(id(expr))
        if known is not None:
            return known
        value = self.sight.value(expr, metrics)
        if value is not None and not any(metrics_in(expr)):
            self._sides[id(expr)] = value
        return value


def read_requirement(line: t.Require, sight: Sight) -> Requirement:
    """A `require` line, tried on numbers.

    Raises:
        SpecError, DiagnosticError: E408 for unknown metrics, E205 where it is no condition.
    """
    known = {*COUNTED, *sight.names()}
    for name in _names(line.condition):
        if name.id not in known:
            raise mistake(
                "E408", f"`require` knows no `{name.id}`", name.span, f"expected {' or '.join(COUNTED)}",
                help=did_you_mean(name.id, known, "it is looked at before anything is trained or measured"),
            )  # fmt: skip
    if not any(metrics_in(line.condition)):
        raise mistake(
            "E408", "`require` says nothing about a candidate", line.condition.span,
            f"neither {' nor '.join(COUNTED)}", help="write `require params <= 4M`",
        )  # fmt: skip
    requirement = Requirement(line, sight)
    requirement.tried(_Example())
    return requirement


def _names(expr: t.Expr) -> Iterable[t.Name]:
    if isinstance(expr, t.Name):
        yield expr
    if isinstance(expr, t.Call) and expr.callee.id not in FUNCTIONS:
        yield expr.callee
    for part in parts_of(expr):
        yield from _names(part)


def metrics_in(expr: t.Expr) -> Iterable[str]:
    """What a condition looks at, as often as it does."""
    return (n.id for n in _names(expr) if n.id in COUNTED)


def _no_condition(expr: t.Expr) -> SpecError:
    return mistake("E205", "expected a condition", expr.span, "a value", help="compare: `params <= 4M`")
