"""Small pieces of building: chains, names as written, calls with their values."""

from __future__ import annotations

from dataclasses import replace

from archdsl.diagnostics import Diagnostic, Span
from archdsl.features import Feature, Word
from archdsl.graph.elaboration.calls import Bound
from archdsl.graph.elaboration.evaluate import unwrap, value_of
from archdsl.graph.elaboration.files import Definition
from archdsl.graph.elaboration.names import at_file_level
from archdsl.graph.elaboration.report import SpecError
from archdsl.graph.elaboration.scopes import Cell, Part, Scope
from archdsl.graph.elaboration.signature import Signature
from archdsl.graph.elaboration.texts import cell_text
from archdsl.graph.node import BoundCall, Node, Origin
from archdsl.lang import tree as t
from archdsl.ops.chain import Chain

Nodes = tuple[Node, ...]
"""Operators behind each other."""


def chain(nodes: Nodes, x: Feature, name: str) -> Node:
    """Nodes behind each other as one node without a call of its own."""
    return Node(Chain(), name, x, nodes[-1].output if nodes else x, nodes)


def written_name(expr: t.Expr) -> str:
    """The name by which people know a text: its callee, its own name, else `chain`."""
    expr = unwrap(expr)
    while isinstance(expr, t.Index | t.Repeat):
        expr = unwrap(expr.base if isinstance(expr, t.Index) else expr.body)
    if isinstance(expr, t.Name):
        return expr.id
    return expr.callee.id if isinstance(expr, t.Call) else "chain"


def bound_call(signature: Signature, bound: Bound, span: Span) -> BoundCall:
    """A call with every value, as people want to see it."""
    values: list[tuple[str, str, Origin]] = []
    for formal in signature.formals:
        cell = bound.get(formal.name)
        if cell is not None:
            values.append((formal.name, cell_text(cell), Origin(cell.origin, cell.span)))
        elif not formal.variadic:
            values.append((formal.name, formal.shown, Origin("default")))
    return BoundCall(signature.name, tuple(values), span)


def call_key(item: tuple[str, Cell]) -> object:
    """What decides whether two calls of a definition build the same."""
    name, cell = item
    value = value_of(cell)
    if isinstance(value, Part) and isinstance(value.expr, t.Name) and not value.given:
        callee = at_file_level(value.scope, value.expr.id)
        return name, cell.origin, callee, value.scope.open
    return name, cell.origin, _told_apart(value)


def _told_apart(value: object) -> object:
    """The value with the types inside it: `on` and 1 are equal in Python."""
    if isinstance(value, tuple):
        return tuple(_told_apart(v) for v in value)
    if isinstance(value, Word):
        return value.name, _told_apart(value.args), _told_apart(value.kwargs)
    return type(value), value


def lifted(error: SpecError, definition: Definition, call: t.Name | t.Call, scope: Scope) -> SpecError:
    """A mistake in the shipped library's text, told at the call that led there."""
    library = definition.unit
    if not library.library or scope.units[0] is library:
        return error
    out: list[Diagnostic] = []
    for d in error.diagnostics:
        if d.span is not None and d.span.source is library.source:
            note = f"in `{definition.name}`, {d.span.source.name.rsplit('/')[-1]}:{d.span.line}"
            out.append(replace(d, span=call.span, notes=(*d.notes, note)))
        else:
            out.append(d)
    return SpecError(*out)
