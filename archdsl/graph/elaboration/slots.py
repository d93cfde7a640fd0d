"""Values of slots: image, classes, rates, widths, the recipe for initial weights."""

from __future__ import annotations

from archdsl.diagnostics import Span, did_you_mean
from archdsl.features import Word
from archdsl.graph.elaboration.arithmetic import number, whole
from archdsl.graph.elaboration.evaluate import unknown_word, value_of, written
from archdsl.graph.elaboration.operators import place
from archdsl.graph.elaboration.report import mistake
from archdsl.graph.elaboration.scopes import Cell, Part, Value
from archdsl.graph.recipes import DEFAULT_INIT, init_arguments, init_recipes
from archdsl.lang import tree as t
from archdsl.ops._types import MAX_WIDTH, describe

MAX_IMAGE = 16_384


def _value(cell: Cell) -> Value:
    value = value_of(cell)
    if isinstance(value, Word) and cell.expr is not None and cell.scope is not None:
        raise unknown_word(value, cell.expr, cell.scope)
    return value


def size(cell: Cell, span: Span, low: int, high: int, what: str) -> int:
    """A whole number within bounds.

    Raises:
        SpecError: E205, E310.
    """
    span = place(cell, span)
    n = whole(_value(cell), span)
    if not low <= n <= high:
        raise mistake(
            "E310",
            f"{what} is out of bounds",
            span,
            f"found {n:,}",
            help=f"choose one from {low} to {high:,}",
        )
    return n


def width(cell: Cell, span: Span) -> int:
    """A stage's `dim`.

    Raises:
        SpecError: E205, E310.
    """
    return size(cell, span, 1, MAX_WIDTH, "a width")


def image(cell: Cell, span: Span) -> tuple[int, int]:
    """Height and width of the image.

    Raises:
        SpecError: E205, E310.
    """
    span = place(cell, span)
    value = _value(cell)
    sides = value if isinstance(value, tuple) else (value, value)
    if len(sides) != 2:
        raise mistake(
            "E205", "an image has a height and a width", span, f"found {len(sides)} numbers",
            help="write `image = 224` or `image = [224, 256]`",
        )  # fmt: skip
    out = []
    for side in sides:
        n = whole(side, span, "a whole number of pixels")
        if not 1 <= n <= MAX_IMAGE:
            raise mistake(
                "E310",
                "the image is out of bounds",
                span,
                f"found {n:,}",
                help=f"choose one from 1 to {MAX_IMAGE:,} pixels",
            )
        out.append(n)
    return out[0], out[1]


def rate(cell: Cell, span: Span) -> float:
    """A drop path rate; `off` and `none` are 0.

    Raises:
        SpecError: E205, E218.
    """
    span = place(cell, span)
    value = _value(cell)
    if value is None or value is False:
        return 0.0
    n = number(value, span, "a rate below 1")
    if not 0 <= n < 1:
        raise mistake(
            "E218", "a rate is out of bounds", span, f"found {describe(n)}", help="from 0 to below 1"
        )
    return float(n)


def recipe(cell: Cell, span: Span) -> Word:
    """The named recipe for initial weights.

    Raises:
        SpecError: E205, E213.
    """
    span = place(cell, span)
    value = value_of(cell)
    if isinstance(value, Part) and isinstance(value.expr, t.Name):
        value = Word(value.expr.id)
    if value is None:
        return DEFAULT_INIT
    choices = ", ".join(init_recipes())
    if not isinstance(value, Word):
        raise mistake(
            "E205", "`init` takes the name of a recipe", span, f"found {describe(value)}",
            help=f"recipes: {choices}",
        )  # fmt: skip
    if value.name not in init_recipes():
        if cell.expr is not None and cell.scope is not None:
            expr, _ = written(cell.expr, cell.scope)
            span = expr.callee.span if isinstance(expr, t.Call) else span
        raise mistake(
            "E213", f"`init` has no choice `{value.name}`", span, f"expected one of: {choices}",
            help=did_you_mean(value.name, init_recipes(), f"recipes: {choices}"),
        )  # fmt: skip
    try:
        init_arguments(value)
    except ValueError as error:
        raise mistake(
            "E205", f"wrong values for `{value.name}`", span, str(error), help="give it other values"
        ) from None
    return value
