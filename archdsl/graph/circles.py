"""Definitions that lead back to themselves."""

from __future__ import annotations

from collections.abc import Sequence

from archdsl.diagnostics import Span
from archdsl.graph.files import Definition
from archdsl.graph.report import SpecError, mistake
from archdsl.graph.scopes import Scope
from archdsl.lang import tree as t


def refuse_circle(definition: Definition, call: t.Name | t.Call, scope: Scope) -> None:
    """E208 for a call of a definition inside its own body, however far down."""
    around = [d for d, _ in scope.stack]
    if definition not in around:
        return
    start = around.index(definition)
    # Each definition's body holds the call that opens the next one.
    calls = [_span(c) for _, c in scope.stack[start + 1 :]] + [_span(call)]
    raise circle(
        [d.name for d in around[start:]], calls, "a definition can only use what does not lead back to it"
    )


def circle(names: Sequence[str], calls: Sequence[Span], step: str) -> SpecError:
    """E208, told at the circle's first call in the order of the text, whoever met it.

    Args:
        names: the definitions of the circle, each leading to the next and the last to the first.
        calls: where each leads to the next.
        step: what to do.
    """
    first = min(range(len(calls)), key=lambda i: (calls[i].source.name, calls[i].line, calls[i].column))
    names = [*names[first:], *names[:first]]
    return mistake(
        "E208", f"`{names[0]}` is defined by itself", calls[first], " -> ".join([*names, names[0]]), help=step
    )


def _span(call: t.Name | t.Call) -> Span:
    return call.callee.span if isinstance(call, t.Call) else call.span
