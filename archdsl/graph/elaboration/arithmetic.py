"""Numbers of the language: exact, bounded, and never a surprise."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from operator import ge, gt, le, lt

from archdsl.diagnostics import Span
from archdsl.features import Word
from archdsl.graph.elaboration.report import mistake
from archdsl.graph.elaboration.scopes import Part, Value
from archdsl.ops._types import describe

LIMIT = 10**18
"""Numbers stay below this, and so do their denominators."""


def bounded(value: Fraction, span: Span) -> Fraction:
    """The number, where it is within the bounds.

    Raises:
        SpecError: E218.
    """
    if abs(value.numerator) > LIMIT * value.denominator:
        raise mistake(
            "E218", "a number is out of bounds", span, "larger than 10^18", help="use a smaller number"
        )
    if value.denominator > LIMIT:
        raise mistake(
            "E218", "a number is out of bounds", span, "a fraction with a denominator over 10^18",
            help="round it with floor, ceil or `//`",
        )  # fmt: skip
    return value


def number(value: Value, span: Span, what: str = "a number") -> Fraction:
    """The value, where it is a number.

    Raises:
        SpecError: E205.
    """
    if isinstance(value, Fraction):
        return value
    raise mistake("E205", f"expected {what}", span, f"found {describe(value)}", help=f"put {what} here")


def whole(value: Value, span: Span, what: str = "a whole number") -> int:
    """The value, where it is an integer.

    Raises:
        SpecError: E205.
    """
    n = number(value, span, what)
    if n.denominator != 1:
        raise mistake(
            "E205", f"expected {what}", span, f"found {float(n):g}", help="round it with floor, ceil or `//`"
        )
    return int(n)


def arithmetic(operator: str, a: Value, b: Value, left: Span, right: Span) -> Fraction:
    """`a operator b` for numbers.

    Raises:
        SpecError: E215 for anything else and for division by zero, E218 out of bounds.
    """
    for value, span in ((a, left), (b, right)):
        if not isinstance(value, Fraction):
            raise mistake(
                "E215",
                f"`{operator}` needs numbers",
                span,
                f"found {describe(value)}",
                help="put a number here",
            )
    assert isinstance(a, Fraction)
    assert isinstance(b, Fraction)
    if operator in ("/", "//", "%") and b == 0:
        raise mistake("E215", "division by zero", right, "this is 0", help="divide by another number")
    match operator:
        case "+":
            result = a + b
        case "-":
            result = a - b
        case "*":
            result = a * b
        case "/":
            result = a / b
        case "//":
            result = Fraction(a // b)
        case _:
            result = a % b
    return bounded(result, left.to(right))


_ORDERS: dict[str, Callable[[Fraction, Fraction], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def compare(operator: str, a: Value, b: Value, left: Span, right: Span) -> bool:
    """`a operator b`; anything can be equal, numbers alone have an order.

    Raises:
        SpecError: E205.
    """
    if operator in ("==", "!="):
        return (_plain(a) == _plain(b) and type(_plain(a)) is type(_plain(b))) == (operator == "==")
    return _ORDERS[operator](number(a, left), number(b, right))


def _plain(value: Value) -> object:
    """Bare names compare by name, whatever they stand for."""
    if isinstance(value, Part):
        name = getattr(value.expr, "id", None)
        return Word(name) if name else value
    return value


def _listed(values: tuple[Value, ...], spans: tuple[Span, ...]) -> tuple[tuple[Fraction, Span], ...]:
    if len(values) == 1 and isinstance(values[0], tuple):
        return tuple((number(v, spans[0], "a list of numbers"), spans[0]) for v in values[0])
    return tuple((number(v, s), s) for v, s in zip(values, spans, strict=True))


def _one(
    function: Callable[[Fraction], int | Fraction],
) -> Callable[[tuple[Value, ...], tuple[Span, ...]], Fraction]:
    return lambda values, spans: Fraction(function(number(values[0], spans[0])))


def _round(n: Fraction) -> int:
    """Halves away from zero, as people round."""
    return floor(n + Fraction(1, 2)) if n >= 0 else ceil(n - Fraction(1, 2))


def _extreme(pick: Callable[[list[Fraction]], Fraction]) -> Callable[..., Fraction]:
    def function(values: tuple[Value, ...], spans: tuple[Span, ...]) -> Fraction:
        numbers = [n for n, _ in _listed(values, spans)]
        if not numbers:
            raise mistake(
                "E215",
                "the list is empty",
                spans[0],
                "needs at least one number",
                help="put a number into it",
            )
        return pick(numbers)

    return function


def _sum(values: tuple[Value, ...], spans: tuple[Span, ...]) -> Fraction:
    total = Fraction(0)
    for n, span in _listed(values, spans):
        total = bounded(total + n, span)
    return total


def _len(values: tuple[Value, ...], spans: tuple[Span, ...]) -> Fraction:
    if not isinstance(values[0], tuple):
        raise mistake(
            "E205",
            "expected a list",
            spans[0],
            f"found {describe(values[0])}",
            help="put a list here: `[1, 2]`",
        )
    return Fraction(len(values[0]))


FUNCTIONS: dict[str, tuple[int, Callable[[tuple[Value, ...], tuple[Span, ...]], Fraction]]] = {
    "ceil": (1, _one(ceil)),
    "floor": (1, _one(floor)),
    "round": (1, _one(_round)),
    "abs": (1, _one(abs)),
    "len": (1, _len),
    "min": (0, _extreme(min)),
    "max": (0, _extreme(max)),
    "sum": (0, _sum),
}
"""Functions on numbers, with how many arguments they take (0: any number from one, or a list)."""
