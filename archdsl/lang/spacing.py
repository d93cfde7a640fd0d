"""Lines of a text as the formatter sees them, and the blanks between their tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from lark import Token

_ENDS_VALUE = {"NAME", "NUMBER", "STRING", "ON", "OFF", "NONE", "SAME", "RPAR", "RSQB"}
_TIGHT = {"DOT", "RANGE"}
_LEADS_ON = {"EQUALS", "IN"}


@dataclass(slots=True)
class Line:
    """One line of the text.

    Args:
        tokens: without comment and newline; `;` stays.
        comment: the comment at its end, or alone on it.
        blank: whether a blank line stands before it.
        row: whether it begins a line of a body, or goes on with one.
        body: which body it stands in: the number of its opening brace, -1 for the top level.
        next: of a comment that stands alone, the next line with more than a comment.
        columns: where each token goes, counted from 0.
        comment_column: where the comment goes.
    """

    tokens: list[Token] = field(default_factory=list)
    comment: Token | None = None
    blank: bool = False
    row: bool = True
    body: int = -1
    next: Line | None = None
    columns: list[int] = field(default_factory=list)
    comment_column: int = 0

    def text(self) -> str:
        """The line as it is written, with the blank line before it."""
        out = ""
        for token, column in zip(self.tokens, self.columns, strict=True):
            out += " " * (column - len(out)) + token
        if self.comment is not None:
            out += " " * (self.comment_column - len(out)) + self.comment.rstrip()
        return ("\n" if self.blank else "") + out + "\n"


def split_lines(tokens: list[Token]) -> list[Line]:
    """The lines of a text that parses: without superfluous `;` and blank lines."""
    lines: list[Line] = []
    opened: list[tuple[str, int]] = []  # brackets, each with the number of its body
    bodies = 0
    line, newlines = Line(), 0
    previous: Token | None = None
    separator_alone = False  # nothing but `;` on the line so far
    for token in tokens:
        kind = token.type
        if kind == "END" and token != ";":
            newlines += not separator_alone
            separator_alone = False
            if line.tokens or line.comment:
                lines.append(line)
                line, newlines = Line(), 0
            continue
        if token == ";" and not line.tokens:
            separator_alone = True
            continue
        in_brackets = bool(opened) and opened[-1][0] != "LBRACE"
        if not line.tokens and not line.comment:
            line.blank = newlines > 0 and bool(lines) and not in_brackets
            line.body = opened[-1][1] if opened else -1
            goes_on = previous is not None and (kind in ("ARROW", "PLUS") or previous.type in _LEADS_ON)
            line.row = not in_brackets and not goes_on
            if goes_on or kind == "RBRACE" or (previous is not None and previous.type == "LBRACE"):
                line.blank = False
        separator_alone = False
        if kind == "COMMENT":
            line.comment = token
            continue
        if kind == "RBRACE":
            opened.pop()
            line.body = opened[-1][1] if opened and len(line.tokens) == 0 else line.body
        elif kind in ("RPAR", "RSQB"):
            opened.pop()
        elif kind in ("LPAR", "LSQB", "LBRACE"):
            bodies += kind == "LBRACE"
            opened.append((kind, bodies if kind == "LBRACE" else line.body))
        if kind == "RANGE" and not in_brackets:
            line.tokens.append(token.update(type="DOMAIN"))  # `4 .. 16`; the `..` of a slice is tight
        else:
            line.tokens.append(token)
        previous = token
    if line.tokens or line.comment:
        lines.append(line)
    for line in lines:
        line.tokens = _needed(line.tokens)
    following: Line | None = None
    for line in reversed(lines):
        if line.tokens:
            following = line
        else:
            line.next = following
    return [line for line in lines if line.tokens or line.comment]


def _needed(tokens: list[Token]) -> list[Token]:
    """Without each `;` that separates nothing, and without commas right before a closing bracket."""
    out: list[Token] = []
    for token in tokens:
        if token.type in ("RPAR", "RSQB") and out and out[-1].type == "COMMA":
            out.pop()
        if token.type == "RBRACE" and out and out[-1].type == "END":
            out.pop()
        if token.type == "END" and (not out or out[-1].type in ("LBRACE", "END")):
            continue
        out.append(token)
    if out and out[-1].type == "END":
        out.pop()
    return out


def gap(line: Line, n: int) -> int:
    """How many blanks stand before token `n` of a line, by its neighbours."""
    if n == 0:
        return 0
    left, right = line.tokens[n - 1].type, line.tokens[n].type
    if right in ("COMMA", "RPAR", "RSQB", "END") or left in ("LPAR", "LSQB"):
        return 0
    if left == "LBRACE" and right == "RBRACE":
        return 0
    if left in _TIGHT or right in _TIGHT:
        return int(left == "NUMBER" and right == "DOT")
    if left == "MINUS" and not (n > 1 and line.tokens[n - 2].type in _ENDS_VALUE):
        return 0
    if right == "LPAR":
        call = left == "NAME" or (left == "RESIDUAL" and not (line.row and begins_line(line, n - 1)))
        return int(not call)
    if right == "LSQB":
        return int(left not in _ENDS_VALUE)
    return 1


def begins_line(line: Line, n: int) -> bool:
    """Whether token `n` begins a line of a body."""
    return n == 0 or line.tokens[n - 1].type in ("END", "LBRACE")


def natural(line: Line, indent: int) -> list[int]:
    """The columns of the tokens of a line that is aligned with no other."""
    columns: list[int] = []
    at = indent
    for n, token in enumerate(line.tokens):
        at += gap(line, n)
        columns.append(at)
        at += len(token)
    return columns


def written_gap(line: Line, n: int) -> int:
    """How many columns stood before token `n` in the text."""
    before, token = line.tokens[n - 1], line.tokens[n]
    return (token.start_pos or 0) - (before.end_pos or 0)
