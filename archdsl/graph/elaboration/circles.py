"""Definitions that lead back to themselves."""

from __future__ import annotations

from archdsl.graph.elaboration.files import Definition
from archdsl.graph.elaboration.report import mistake
from archdsl.graph.elaboration.scopes import Scope
from archdsl.lang import tree as t


def refuse_circle(definition: Definition, call: t.Name | t.Call, scope: Scope) -> None:
    """E208 for a call of a definition inside its own body, however far down.

    The same mistake whichever member it is met from: told at the call that leads back to the first member.
    """
    around = [d for d, _ in scope.stack]
    if definition not in around:
        return
    start = around.index(definition)
    members = around[start:]
    # The body of each member holds the call that opens the next one.
    calls = [*(c for _, c in scope.stack[start + 1 :]), call]
    places = [(m.tree.span.source.name, m.tree.span.line, m.tree.span.column) for m in members]
    first = places.index(min(places))
    back = calls[first - 1]
    names = [m.name for m in (*members[first:], *members[: first + 1])]
    raise mistake(
        "E208", "definitions call each other in a circle",
        back.callee.span if isinstance(back, t.Call) else back.span, "this closes the circle",
        notes=(" calls ".join(names),), help="repeat with `n x part` instead",
    )  # fmt: skip
