"""`require`: conditions that an author wants to hold."""

from __future__ import annotations

from collections.abc import Iterator

from archdsl.diagnostics import Span
from archdsl.graph.elaboration.evaluate import evaluate, unwrap, value_of
from archdsl.graph.elaboration.report import mistake
from archdsl.graph.elaboration.scopes import Scope, Value
from archdsl.graph.elaboration.texts import text_of
from archdsl.lang import tree as t
from archdsl.ops._types import describe


def require(line: t.Require, scope: Scope, where: str = "") -> None:
    """Checks one line.

    Args:
        line: the line.
        scope: what it sees.
        where: whose values they are, for the message.

    Raises:
        SpecError: E212 where it does not hold, E205 where it is no condition.
    """
    held: Value = evaluate(line.condition, scope)
    if held is True:
        return
    if held is not False:
        raise mistake(
            "E205", "expected a condition", line.condition.span, f"found {describe(held)}",
            help="compare: `a == b`",
        )  # fmt: skip
    values = [
        f"{name} = {text_of(value_of(cell))}"
        for name in dict.fromkeys(_names(line.condition))
        if (cell := scope.find(name)) is not None
    ]
    told = ", ".join(values)
    raise mistake(
        "E212", line.message or "a requirement is not met", line.condition.span, "does not hold",
        notes=(f"with {told}{f' in `{where}`' if where else ''}",) if told else (),
        help="change one of these values",
    )  # fmt: skip


def values_in(line: t.Require, scope: Scope) -> Iterator[Span]:
    """The places of the values that a line looks at."""
    for name in _names(line.condition):
        cell = scope.find(name)
        if cell is not None and cell.expr is not None:
            yield cell.expr.span


def _names(expr: t.Expr) -> Iterator[str]:
    """Every bare name of a condition, in order."""
    todo: list[t.Expr] = [expr]
    while todo:
        e = unwrap(todo.pop(0))
        match e:
            case t.Name():
                yield e.id
            case t.Binary() | t.Compare() | t.Logic():
                todo[:0] = [e.left, e.right]
            case t.Unary() | t.Not():
                todo.insert(0, e.operand)
            case t.Index():
                todo[:0] = [e.base, e.index]
            case t.Slice():
                todo.insert(0, e.base)
            case t.Call():
                todo[:0] = [a.value for a in e.arguments]
