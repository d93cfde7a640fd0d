"""Sequences: blocks repeated and joined, elements of lists."""

from __future__ import annotations

from archdsl.diagnostics import Span
from archdsl.features import Word
from archdsl.graph.elaboration.report import mistake
from archdsl.graph.elaboration.scopes import Blocks, Part, Value
from archdsl.lang import tree as t
from archdsl.ops._types import describe

MAX_BLOCKS = 10_000
"""Of a stage, repeats expanded."""
MAX_VALUES = 1_000
"""In a list, those of the lists inside it included."""
MAX_LEVELS = 100
"""Of lists and calls of words inside each other."""


def repeated(count: int, value: Value, expr: t.Repeat) -> Blocks:
    """`count x value`.

    Raises:
        SpecError: E215 for anything but networks, E218 for too many.
    """
    blocks = _networks(value, expr.body, "x")
    _limit(count * len(blocks.parts), expr.count.span)
    return Blocks(blocks.parts * count, blocks.joined)


def joined(left: Value, right: Value, expr: t.Binary) -> Blocks:
    """`left + right`, where one of them is a network.

    Raises:
        SpecError: E215 for anything but networks, E218 for too many.
    """
    a, b = _networks(left, expr.left, "+"), _networks(right, expr.right, "+")
    _limit(len(a.parts) + len(b.parts), expr.span)
    return Blocks(a.parts + b.parts, True)


def _limit(count: int, span: Span) -> None:
    if count > MAX_BLOCKS:
        raise mistake(
            "E218", "too many blocks", span, f"{count:,} in all", help=f"have at most {MAX_BLOCKS:,}"
        )


def _networks(value: Value, expr: t.Expr, operator: str) -> Blocks:
    """What `x` repeats and `+` joins."""
    if isinstance(value, Blocks):
        return value
    if isinstance(value, Part):
        return Blocks((value,))
    if value is None:
        return Blocks(())
    need = "repeats networks" if operator == "x" else "joins blocks, or adds numbers, never both"
    step = "to multiply numbers, write `*`" if operator == "x" else "to repeat blocks, write `n x part`"
    raise mistake("E215", f"`{operator}` {need}", expr.span, f"found {describe(value)}", help=step)


def elements(value: Value, base: Span) -> tuple[Value, ...]:
    """The elements of a list.

    Raises:
        SpecError: E215 for anything else.
    """
    if isinstance(value, tuple):
        return value
    raise mistake(
        "E215", "only lists have elements", base, f"this is {describe(value)}", help="leave the index out"
    )


def element(value: Value, at: int, base: Span, index: Span) -> Value:
    """`value[at]`; negative indices count from the end.

    Raises:
        SpecError: E215 where it is no list, or not that long.
    """
    items = elements(value, base)
    if -len(items) <= at < len(items):
        return items[at]
    raise mistake(
        "E215", "the list has no such element", index, f"{at} in a list of {len(items)}",
        help=_bounds(len(items)),
    )  # fmt: skip


def _bounds(length: int) -> str:
    return f"elements go from 0 to {length - 1}, or from -{length} to -1" if length else "the list is empty"


def bounded_list(items: tuple[Value, ...], span: Span) -> tuple[Value, ...]:
    """The list itself. `let` may name it inside another, again and again, so that few lines make it huge.

    Raises:
        SpecError: E218 for more than `MAX_VALUES` values or `MAX_LEVELS` levels.
    """
    level: list[object] = list(items)
    count = len(level)
    for _ in range(MAX_LEVELS):
        if count > MAX_VALUES:
            raise mistake(
                "E218", "a list is too long", span, f"more than {MAX_VALUES:,} values, inner lists included",
                help="write the value out",
            )  # fmt: skip
        inside: list[object] = []
        for item in level:
            if isinstance(item, Word):
                inside += [*item.args, *(value for _, value in item.kwargs)]
            elif isinstance(item, tuple):
                inside += item
            if count + len(inside) > MAX_VALUES:
                break
        if not inside:
            return items
        count += len(inside)
        level = inside
    raise mistake(
        "E218",
        "values are nested too deep",
        span,
        f"more than {MAX_LEVELS} levels",
        help="write the value out",
    )
