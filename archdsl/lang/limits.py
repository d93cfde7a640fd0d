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
    for token in tokens:
        if token.type in _OPENING:
            depth += 1
            if depth > MAX_NESTING:
                raise DiagnosticError(_too_deep(source, token))
        elif token.type in _CLOSING:
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
            raise DiagnosticError(
                Diagnostic(
                    "E105",
                    f"an expression is nested deeper than {MAX_NESTING}",
                    node.span,
                    "this part is too deep",
                    help="name a part of it with `let`, or put it into a `mixer` or `block`",
                )
            )
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


def _too_deep(source: Source, token: Token) -> Diagnostic:
    return Diagnostic(
        "E105",
        f"brackets are nested deeper than {MAX_NESTING}",
        place(source, token),
        f"the bracket that is number {MAX_NESTING + 1}",
        help="name a part with `let`, or put it into a `mixer` or `block`",
    )


def place(source: Source, token: Token) -> Span:
    """Where a token stands; the end of a line is one column wide."""
    line, column = token.line or 1, token.column or 1
    if token.type in ("END", "$END"):
        return Span(source, line, column, line, column + 1)
    return Span(source, line, column, token.end_line or line, token.end_column or column + 1)
