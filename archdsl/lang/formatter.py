"""The formatter: the same tokens and comments in the same order, in the usual layout."""

from __future__ import annotations

from dataclasses import dataclass, field

from lark import Token

from archdsl.diagnostics import Source
from archdsl.lang.align import align_comments, place_rows
from archdsl.lang.grammar import SEARCH, grammar_of, start
from archdsl.lang.parser import parse, parse_search
from archdsl.lang.spacing import Line, begins_line, natural, split_lines

_INDENT = 2


def format_source(source: Source) -> str:
    """The text in the usual layout; its tree stays the same, and formatting it again changes nothing.

    Line breaks, `;` groups and comments stay where they are. Blank lines shrink to one, indentation and
    blanks are set, and what was aligned in neighbouring lines (`=`, `in`, what stands behind `;`, comments)
    stays aligned. A source whose name ends in `.search` is read as a search.

    Raises:
        DiagnosticError: with the E1 mistakes of a text that doesn't parse.
    """
    grammar = grammar_of(source.name)
    parse_search(source) if grammar == SEARCH else parse(source)
    lines = split_lines(start("file", source.text, grammar)[1])
    layout = _Layout(lines)
    for i in range(len(lines)):
        layout.place(i)
    align_comments(lines)
    return "".join(line.text() for line in lines)


@dataclass(slots=True)
class _Bracket:
    """An open bracket: where the lines inside it begin, and the line that closes it."""

    kind: str
    inside: int
    closing: int


@dataclass(slots=True)
class _Layout:
    """Gives every token its column, line by line."""

    lines: list[Line]
    open: list[_Bracket] = field(default_factory=list)
    indent: int = 0  # of the statement that is being written
    value: int = 0  # where its value begins

    def place(self, i: int) -> None:
        """Places line `i`; a row that begins a group places its whole group."""
        line = self.lines[i]
        if not line.tokens:
            line.comment_column = self._comment_column(i)
            return
        if line.row:
            self.indent = self._body_indent(line.tokens[0])
            if line.tokens[0].type == "RBRACE":
                line.columns = natural(line, self.indent)
            elif not line.columns:
                place_rows(self.lines, i, self.indent)
        else:
            line.columns = natural(line, self._continuation(line.tokens[0]))
        self._walk(line)

    def _body_indent(self, first: Token) -> int:
        if not self.open:
            return 0
        return self.open[-1].closing if first.type == "RBRACE" else self.open[-1].inside

    def _continuation(self, first: Token) -> int:
        if self.open and self.open[-1].kind != "LBRACE":
            closes = first.type in ("RPAR", "RSQB")
            return self.open[-1].closing if closes else self.open[-1].inside
        if first.type == "ARROW":
            return max(self.value - 3, self.indent + _INDENT)
        if first.type == "PLUS":
            return max(self.value - 2, self.indent + _INDENT)
        return self.indent + _INDENT

    def _comment_column(self, i: int) -> int:
        """A comment on a line of its own stands where the next line stands that has more than a comment."""
        line = self.lines[i].next
        if line is None:
            return 0
        first = line.tokens[0]
        if self.open and first.type in ("RPAR", "RSQB", "RBRACE"):
            return self.open[-1].inside
        return self._body_indent(first) if line.row else self._continuation(first)

    def _walk(self, line: Line) -> None:
        """Follows the brackets and the value of a line that has its columns."""
        tokens, columns = line.tokens, line.columns
        content = columns[0] + (len(tokens[0]) + 1 if tokens[0].type in ("ARROW", "PLUS") else 0)
        if not (self.open and self.open[-1].kind != "LBRACE") and line.row:
            self.value = content
        for n, token in enumerate(tokens):
            kind = token.type
            if kind in ("LPAR", "LSQB", "LBRACE"):
                last = n + 1 == len(tokens)
                inside = content + _INDENT if last else columns[n + 1]
                closing = content if last else columns[n]
                if kind == "LBRACE":
                    closing = self.indent
                    inside = self.indent + _INDENT if last else columns[n + 1]
                self.open.append(_Bracket(kind, inside, closing))
            elif kind in ("RPAR", "RSQB", "RBRACE"):
                self.open.pop()
            elif not self.open or self.open[-1].kind == "LBRACE":
                if kind in ("EQUALS", "IN") or (kind == "RESIDUAL" and line.row and begins_line(line, n)):
                    after = columns[n + 1] if n + 1 < len(tokens) else self.indent + _INDENT
                    self.value = after
                elif kind == "END" and n + 1 < len(tokens):
                    self.value = columns[n + 1]
