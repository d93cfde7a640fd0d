"""Types of parameters: how a value of the language becomes a value of Python, and which values are allowed.

Values of the language arrive as: Fraction (numbers), bool, None, str, Word (bare names, calls of words),
`SAME`, tuple (lists). A ValueError raised here becomes a diagnostic at the argument, so its text is
written for users.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer

from archdsl.features import Order, Word

MAX_WIDTH = 1_000_000
MAX_COUNT = 1_000_000
MAX_RATIO = 1_000_000
MAX_WINDOW = 1023
MAX_ORDERS = 64


class SameType:
    """The type of `SAME`: an output as wide as the input."""

    def __repr__(self) -> str:
        return "same"


SAME = SameType()


def _exact(value: object) -> object:
    if isinstance(value, Fraction):
        if value.denominator != 1:
            raise ValueError(f"expected a whole number, found {float(value):g}")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, found {describe(value)}")
    return value


def _floored(value: object) -> object:
    return floor(value) if isinstance(value, Fraction | float) else _exact(value)


def _width_or_same(value: object) -> object:
    if value is SAME or (isinstance(value, str) and value == "same"):
        return "same"
    return _floored(value)


def _real(value: object) -> object:
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, Fraction | int | float):
        raise ValueError(f"expected a number, found {describe(value)}")
    return float(value)


def _ratio(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, Fraction | int | float):
        raise ValueError(f"expected a number, found {describe(value)}")
    if not 0 < value <= MAX_RATIO:
        raise ValueError(f"expected a number over 0, up to {MAX_RATIO}, found {describe(value)}")
    return Fraction(value)


def _flag(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError(f"expected on or off, found {describe(value)}")
    return value


def word(value: object) -> object:
    """A bare word as the str that `Literal` fields compare with; other values unchanged."""
    return value.name if isinstance(value, Word) and not value.args and not value.kwargs else value


def _orders(value: object) -> object:
    if isinstance(value, tuple) and value and all(isinstance(v, Order) for v in value):
        return value
    return orders(value)


def _listed(orders: tuple[Order, ...]) -> list[list[object]]:
    return [list(o) for o in orders]


def _order(value: object) -> Order | None:
    if isinstance(value, str):
        value = Word(value)
    if not isinstance(value, Word) or value.kwargs:
        return None
    match value.name, value.args:
        case (("rows" | "columns" | "snake"), ()):
            return Order(value.name)
        case "snake", (way,) if word(way) in ("rows", "columns"):
            return Order("snake" if word(way) == "rows" else "snake_columns")
        case "local", (side,):
            return Order("local", size=_window(side))
        case "local", (side, way) if word(way) in ("rows", "columns"):
            return Order("local" if word(way) == "rows" else "local_columns", size=_window(side))
        case "reverse", (inside,):
            inner = _order(inside)
            return inner._replace(reverse=not inner.reverse) if inner else None
    return None


def _window(value: object) -> int:
    side = _exact(value)
    if not isinstance(side, int) or not 1 <= side <= MAX_WINDOW:
        raise ValueError(f"local(k) takes a window side from 1 to {MAX_WINDOW}")
    return side


SHORT_ORDERS = {
    "forward": (Order("rows"),),
    "backward": (Order("rows", True),),
    "both": (Order("rows"), Order("rows", True)),
    "cross": (Order("rows"), Order("columns"), Order("rows", True), Order("columns", True)),
}


def orders(value: object) -> tuple[Order, ...]:
    """A value of the language as a list of orders.

    Raises:
        ValueError: where it is none, with what was expected.
    """
    name = value.name if isinstance(value, Word) and not value.args else value
    if isinstance(name, str) and name in SHORT_ORDERS:
        return SHORT_ORDERS[name]
    if isinstance(value, tuple | list):
        listed = tuple(o for v in value[:MAX_ORDERS] for o in orders(v))
        if not 1 <= max(len(listed), len(value)) <= MAX_ORDERS:
            raise ValueError(f"a list of orders has 1 to {MAX_ORDERS} of them")
        return listed
    found = _order(value)
    if found is None:
        raise ValueError(f"{_forms(value)}, found {describe(value)}")
    return (found,)


def _forms(value: object) -> str:
    """What an order that is none could have been."""
    while isinstance(value, Word) and value.name == "reverse" and len(value.args) == 1 and not value.kwargs:
        (inside,) = value.args
        if isinstance(inside, tuple | list) or word(inside) in SHORT_ORDERS:
            return "reverse turns one order round, [reverse(rows), reverse(columns)] two"
        value = inside
    match value:
        case Word("local"):
            return "expected local(k), local(k, rows) or local(k, columns), k the side of a window"
        case Word("snake"):
            return "expected snake, snake(rows) or snake(columns)"
        case Word("reverse"):
            return "expected reverse(order), such as reverse(rows)"
        case Word("rows" | "columns" | "forward" | "backward" | "both" | "cross"):
            return f"expected {value.name} alone"
        case _:
            return (
                "expected forward, backward, both, cross, rows, columns, snake, local(k), reverse(order) "
                "or a list of orders"
            )


def describe(value: object) -> str:
    """A value in the words of the language, for messages."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    if isinstance(value, Fraction | int | float):
        return f"{float(value):g}" if float(value) != int(value) else str(int(value))
    if isinstance(value, Word):
        return f"`{value}`"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return "a list"
    return str(value)


Count = Annotated[int, BeforeValidator(_exact), Field(ge=1, le=MAX_COUNT)]
"""A whole number from 1."""
Natural = Annotated[int, BeforeValidator(_exact), Field(ge=0, le=MAX_COUNT)]
"""A whole number from 0."""
Kernel = Annotated[int, BeforeValidator(_exact), Field(ge=1, le=1023)]
"""Side of a convolution."""
Width = Annotated[int, BeforeValidator(_floored), Field(ge=1, le=MAX_WIDTH)]
"""Channels; a fraction is floored."""
WidthOrSame = Annotated[int | Literal["same"], BeforeValidator(_width_or_same)]
"""Output channels, `same` for as many as come in; bounds are checked by the shape rule (`resolve_width`)."""
Real = Annotated[float, BeforeValidator(_real)]
"""Any number."""
Positive = Annotated[float, BeforeValidator(_real), Field(gt=0, le=1e6)]
"""A number over 0."""
Rate = Annotated[float, BeforeValidator(_real), Field(ge=0, lt=1)]
"""A probability below 1."""
Ratio = Annotated[InstanceOf[Fraction], BeforeValidator(_ratio), PlainSerializer(str, when_used="json")]
"""A number over 0 kept exact, for widths that are floored."""
Flag = Annotated[bool, BeforeValidator(_flag)]
"""`on` or `off`."""
Orders = Annotated[tuple[Order, ...], BeforeValidator(_orders), PlainSerializer(_listed, when_used="json")]
"""Scan orders, see `orders`."""


def choices(annotation: Any) -> tuple[str, ...]:
    """The words that a field of this type takes: of `Literal`, also inside `Annotated` and unions."""
    if get_origin(annotation) is Literal:
        return tuple(a for a in get_args(annotation) if isinstance(a, str) and a != "same")
    found: list[str] = []
    for inner in get_args(annotation):
        if not isinstance(inner, str):
            found += choices(inner)
    return tuple(dict.fromkeys(found))
