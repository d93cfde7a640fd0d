"""The token filter between lexer and parser: what newlines and braces mean."""

from __future__ import annotations

from collections.abc import Iterable

from lark import Token

_OPENING = {"LPAR", "LSQB", "LBRACE"}
_CLOSING = {"RPAR", "RSQB", "RBRACE"}
_CONTINUES = {"ARROW", "PLUS"}
_LEADS_ON = {"EQUALS", "IN"}


def layout(tokens: Iterable[Token], *, enclosed: bool = False) -> list[Token]:
    """The tokens as the grammar wants them: one END behind every line, none inside round and square brackets.

    A line that starts with `->` or `+` continues the one before, and so does the line after a final `=` or
    `in`.
    Comments are left out. `residual` with a bracket behind it becomes a name where it doesn't begin a line:
    there it is a call.

    Args:
        tokens: all tokens of a text; brackets need not match.
        enclosed: treat the text as if it stood in brackets: newlines are space, no END is added.
    """
    out: list[Token] = []
    opened: list[bool] = [not enclosed]  # whether a newline ends a line, outermost first
    residual = False
    for token in tokens:
        kind = token.type
        if kind == "COMMENT":
            continue
        if residual and kind == "LPAR":
            out[-1] = out[-1].update(type="NAME")
        residual = False
        if kind == "END":
            if _ends_line(token, out, opened[-1]):
                out.append(token)
            continue
        if kind == "RESIDUAL":
            residual = not opened[-1] or not _starts_line(out)
        elif kind in _OPENING:
            opened.append(kind == "LBRACE")
        elif kind in _CLOSING:
            if len(opened) > 1:
                opened.pop()
            if kind == "RBRACE" and not _starts_line(out):
                out.append(_no_width(token.start_pos, token.line, token.column))
        elif kind in _CONTINUES and opened[-1] and out and out[-1].type == "END" and out[-1] != ";":
            out.pop()
        out.append(token)
    if not enclosed and not _starts_line(out):
        last = out[-1]
        out.append(_no_width(last.end_pos, last.end_line, last.end_column))
    return out


def _ends_line(token: Token, out: list[Token], line_wise: bool) -> bool:
    if token == ";":
        return not line_wise or not _starts_line(out)  # the parser refuses one in brackets
    return line_wise and not _starts_line(out) and out[-1].type not in _LEADS_ON


def _starts_line(out: list[Token]) -> bool:
    return not out or out[-1].type in {"END", "LBRACE"}


def _no_width(at: int | None, line: int | None, column: int | None) -> Token:
    return Token("END", "", at, line, column, line, column, at)
