"""Definitions and operators by name, as a text sees them."""

from __future__ import annotations

from collections.abc import Iterator

from archdsl.diagnostics import Span, closest
from archdsl.graph.elaboration.arithmetic import FUNCTIONS
from archdsl.graph.elaboration.files import Definition, prelude
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.scopes import Cell, Scope
from archdsl.ops import Op, find
from archdsl.ops import names as operator_names

INTERNAL = frozenset({"chain"})
"""Operators that nobody writes."""

Callee = Definition | type[Op]


def operator(name: str, span: Span | None = None) -> type[Op] | None:
    """The operator of that name.

    Raises:
        SpecError: E505 where an installed extension fails to load.
    """
    if name in INTERNAL:
        return None
    try:
        return find(name)
    except (ImportError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise mistake(
            "E505", f"the extension `{name}` failed to load", span, str(error),
            help="reinstall the package that brings it",
        ) from error  # fmt: skip


def at_file_level(scope: Scope, name: str, span: Span | None = None) -> Callee | Cell | None:
    """What files, the prelude and the operators mean by a name, in this order.

    Raises:
        SpecError: E210, E505.
    """
    for unit in scope.units:
        if found := unit.lookup(name, span):
            return found
    return prelude().own(name) or operator(name, span)


def callee_of(scope: Scope, name: str, span: Span | None = None) -> Callee | None:
    """The definition or operator that a call means; locals are not seen here.

    Raises:
        SpecError: E210, E505.
    """
    found = at_file_level(scope, name, span)
    return None if isinstance(found, Cell) else found


def in_sight(scope: Scope) -> Iterator[str]:
    """Every name that would be understood here."""
    yield from scope.names()
    for unit in scope.units:
        yield from unit.names()
    yield from prelude().names()
    yield from operator_names() - INTERNAL


def unknown(scope: Scope, name: str, span: Span, *, callee: bool = False) -> SpecError:
    """E201 with the best next step; E208 inside the value of that very name."""
    later = scope.below(name)
    if later is not None and later.expr is not None and later.expr.span.covers(span):
        return mistake(
            "E208", f"`{name}` is defined by itself", span, "stands in its own value",
            help="write the whole value: what it replaces has no name here",
        )  # fmt: skip
    if later is not None and later.name_span is not None:
        return mistake(
            "E201", f"`{name}` is not known yet", span, f"set at line {later.name_span.line}, below its use",
            help=f"move `{name}` up: a line sees the lines above it",
        )  # fmt: skip
    if callee and scope.find(name) is not None:
        return mistake(
            "E201", f"`{name}` can't be called", span, "a value of this place, not a definition",
            help=f"write `{name}` alone, and give its arguments where it is defined",
        )  # fmt: skip
    if name in FUNCTIONS and not callee:
        return mistake("E201", f"`{name}` is a function on numbers", span, help=f"call it: `{name}(...)`")
    arches = {a for u in scope.units for a in u.arch_names()}
    if name in arches:
        return mistake(
            "E201", f"`{name}` is an architecture", span, "expected a mixer, a block or an operator",
            help="an arch stands only in `arch name = other(...)`",
        )  # fmt: skip
    like = closest(name, in_sight(scope))
    return mistake(
        "E201", f"unknown name `{name}`", span, "not found",
        help=f"did you mean `{like}`?" if like else "define it, or check its spelling",
    )  # fmt: skip
