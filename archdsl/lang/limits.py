"""Bounds on the size of a text, checked before and after the parser so that nothing above can be overrun."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import get_args

from lark import Token

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span
from archdsl.lang import tree as t

MAX_TOKENS = 200_000
MAX_NESTING = 100
_EXPRESSIONS: tuple[type, ...] = get_args(t.Expr)
_OPENING = {"LPAR", "LSQB", "LBRACE"}
_CLOSING = {"RPAR", "RSQB", "RBRACE"}
_PLAIN = {"NAME", "NUMBER", "STRING", "ON", "OFF", "NONE", "SAME"}
# Operators that nest when they are chained, each with its level, loosest first.
_CHAINED = {"OR": 0, "AND": 1, "NOT": 2, "PLUS": 3, "MINUS": 3, "X": 4, "STAR": 5, "SLASH": 5, "FLOOR": 5}
_CHAINED |= {"PERCENT": 5, "DOT": 6}
_LEVELS = 7


def check_size(source: Source, tokens: list[Token]) -> None:
    """Refuses too many tokens and brackets nested too deep.

    Raises:
        DiagnosticError: E105 at the first token beyond the limit.
    """
    if len(tokens) > MAX_TOKENS:
        raise DiagnosticError(
            Diagnostic(
                "E105",
                f"the text has more than {MAX_TOKENS:,} words and signs",
                place(source, tokens[MAX_TOKENS]),
                "the limit is reached here",
                help="split the text and join the parts with `use`",
            )
        )
    depth = 0
    chains = [0] * _LEVELS  # operators since something else than an operator or a plain value, by level
    for token in tokens:
        kind = token.type
        if kind in _PLAIN:
            continue
        level = _CHAINED.get(kind)
        if level is None:
            chains = [0] * _LEVELS
        else:
            chains[level] += 1
            chains[level + 1 :] = [0] * (_LEVELS - level - 1)
            if chains[level] > 2 * MAX_NESTING:  # a `-` may be two: `a - -b`
                raise DiagnosticError(_too_deep("operators are chained", place(source, token)))
        if kind in _OPENING:
            depth += 1
            if depth > MAX_NESTING:
                raise DiagnosticError(_too_deep("brackets are nested", place(source, token)))
        elif kind in _CLOSING:
            depth -= 1


def check_nesting(root: t.Node) -> None:
    """Refuses expressions nested too deep, chains of operators included; whoever walks a tree may recurse.

    Raises:
        DiagnosticError: E105 at the first expression beyond the limit.
    """
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        depth += isinstance(node, _EXPRESSIONS)
        if depth > MAX_NESTING:
            raise DiagnosticError(_too_deep("an expression is nested", node.span))
        waiting.extend((child, depth) for child in children(node))


def children(node: t.Node) -> Iterator[t.Node]:
    """The nodes directly below a node, in the order of the text."""
    for name in _children_fields(type(node)):  # type: ignore[arg-type]
        value = getattr(node, name)
        if isinstance(value, t.Node):
            yield value
        elif isinstance(value, tuple):
            yield from value


@cache
def _children_fields(kind: type[t.Node]) -> tuple[str, ...]:
    plain = {"span", "name_span", "source", "text", "id", "operator", "unit"}
    return tuple(f.name for f in fields(kind) if f.name not in plain)


def _too_deep(what: str, span: Span) -> Diagnostic:
    return Diagnostic(
        "E105",
        f"{what} deeper than {MAX_NESTING}",
        span,
        "the limit is reached here",
        help="name a part with `let`, or put it into a `mixer` or `block`",
    )


def place(source: Source, token: Token) -> Span:
    """Where a token stands; the end of a line is one column wide."""
    line, column = token.line or 1, token.column or 1
    if token.type in ("END", "$END"):
        return Span(source, line, column, line, column + 1)
    return Span(source, line, column, token.end_line or line, token.end_column or column + 1)
