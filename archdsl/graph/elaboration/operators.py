"""Operators from bound values, and their mistakes at the text that made them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from archdsl.diagnostics import Diagnostic, Span, did_you_mean
from archdsl.features import Word
from archdsl.graph.elaboration.calls import Bound
from archdsl.graph.elaboration.evaluate import unknown_word, value_of, written
from archdsl.graph.elaboration.names import callee_of
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.scopes import Cell, Part, Scope, Value
from archdsl.graph.elaboration.signature import ORDER_WORDS, Formal, Signature
from archdsl.lang import tree as t
from archdsl.ops import Op, ShapeError
from archdsl.ops._types import describe

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def make_operator(op: type[Op], signature: Signature, bound: Bound, call: Span) -> Op:
    """An operator with the values of its fields.

    Raises:
        SpecError: E201, E205, E213 and E218 at the arguments.
    """
    values = {
        f.name: _plain(value_of(bound[f.name])) for f in signature.formals if not f.part and f.name in bound
    }
    try:
        return op(**values)
    except ValidationError as error:
        wrong: dict[object, Diagnostic] = {}
        for e in error.errors():
            name = e["loc"][0] if e["loc"] else None
            if name not in wrong:
                formal = signature.by_name.get(str(name))
                wrong[name] = _told(e, signature, formal, bound.get(str(name)), call)
        raise SpecError(*wrong.values()) from None


def _plain(value: Value) -> Value:
    """Bare names of definitions and operators as words: whoever takes them judges."""
    if isinstance(value, Part) and isinstance(value.expr, t.Name) and not value.given:
        return Word(value.expr.id)
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    return value


def _told(
    error: Any, signature: Signature, formal: Formal | None, cell: Cell | None, call: Span
) -> Diagnostic:
    kind = error["type"]
    if formal is None:
        return Diagnostic(
            "E205", f"`{signature.name}` refuses its values", call, _text(error), help="change one of them"
        )
    span = place(cell, call)
    value = _plain(value_of(cell)) if cell is not None else error["input"]
    if isinstance(value, Word):
        return _word(value, signature, formal, cell, span, _text(error))
    found = describe(value)
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return Diagnostic(
            "E218", f"`{formal.name}` is out of bounds", span, f"found {found}",
            help=f"it is {words} {_number(error['ctx'][key])}",
        )  # fmt: skip
    if formal.choices and kind != "value_error":
        return Diagnostic(
            "E205", f"`{formal.name}` of `{signature.name}` takes one of its words", span, f"found {found}",
            help=f"choose one of: {', '.join(formal.choices)}",
        )  # fmt: skip
    notes: tuple[str, ...] = ()
    if value is True and cell is not None and isinstance(cell.expr, t.Name):
        notes = (f"`{formal.name}` alone means `{formal.name} = on`: no value of that name is in sight",)
    return Diagnostic(
        "E205", f"wrong value for `{formal.name}` of `{signature.name}`", span, _text(error), notes,
        help="write the value" if notes else _instead(formal),
    )  # fmt: skip


def _instead(formal: Formal) -> str:
    default = f"; the default is `{formal.name} = {formal.shown}`" if formal.shown else ""
    return f"give `{formal.name}` another value{default}"


def _word(
    value: Word, signature: Signature, formal: Formal, cell: Cell | None, span: Span, text: str
) -> Diagnostic:
    words = ORDER_WORDS if formal.orders else formal.choices
    known = formal.orders and value.name in words
    if words and not known:
        return Diagnostic(
            "E213", f"`{formal.name}` of `{signature.name}` has no choice `{value}`", span,
            f"expected one of: {', '.join(words)}",
            help=did_you_mean(value.name, words, "choose one of them"),
        )  # fmt: skip
    if not known and cell is not None and cell.expr is not None and cell.scope is not None:
        expr, scope = written(cell.expr, cell.scope)
        if _is_unknown(value, scope):
            return unknown_word(value, expr, scope).diagnostics[0]
    return Diagnostic(
        "E205", f"wrong value for `{formal.name}` of `{signature.name}`", span, text, help=_instead(formal)
    )


def _is_unknown(value: Word, scope: Scope) -> bool:
    try:
        return callee_of(scope, value.name) is None
    except SpecError:
        return False


def _text(error: Any) -> str:
    text: str = error["msg"]
    return text.removeprefix("Value error, ")


def _number(value: object) -> str:
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def place(cell: Cell | None, call: Span) -> Span:
    """The text to blame for a value: what was written for it, else the call that left it out."""
    if cell is None or cell.expr is None or cell.scope is None:
        return (cell.name_span if cell is not None else None) or call
    expr, _ = written(cell.expr, cell.scope)
    return expr.span


def shape_mistake(error: ShapeError, bound: Bound, call: Span) -> SpecError:
    """What a shape rule found, at the argument it names or at the call."""
    cell = bound.get(error.parameter) if error.parameter else None
    return mistake(
        error.code, error.message, place(cell, call), error.label, notes=error.notes, help=error.help
    )
