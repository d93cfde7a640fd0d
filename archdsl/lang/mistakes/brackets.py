"""Brackets that are not closed, closed twice or closed by another kind."""

from __future__ import annotations

from lark import Token

from archdsl.diagnostics import Diagnostic, Source, Span
from archdsl.lang.limits import place
from archdsl.lang.mistakes.situation import SETTINGS

_CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_OPENER = {closer: opener for opener, closer in _CLOSER.items()}
_SIGN = {"RPAR": ")", "RSQB": "]", "RBRACE": "}", "LPAR": "(", "LSQB": "[", "LBRACE": "{"}
_STATEMENTS = {"USE", "MIXER", "BLOCK", "ARCH", "STAGE", "LET", "REQUIRE", "SEARCH", "VARY", "CLAIM"}
_TOP_LEVEL = {"USE", "MIXER", "BLOCK", "ARCH", "SEARCH"}
_HEADERS = {"ARCH", "STAGE", "BLOCK", "SEARCH", "VARY", "CLAIM"}
# Bodies, and the statements that can't stand in them but right behind them.
_ENDS_BODY = {
    "STAGE": {"STAGE"},
    "BLOCK": {"STAGE"},
    "VARY": {"VARY", "CLAIM", "LET", "REQUIRE"},
    "CLAIM": {"VARY", "CLAIM", "LET", "REQUIRE"},
}
_INSIDE_ONLY = {"STAGE", "REQUIRE", "VARY", "CLAIM"}
_LEADS_ON = {
    "COMMA",
    "LPAR",
    "LSQB",
    "ARROW",
    "PLUS",
    "MINUS",
    "STAR",
    "SLASH",
    "FLOOR",
    "EQUALS",
    "X",
    "EACH",
    "IN",
    "RANGE",
}
_CARRIES_ON = {"COMMA", "RPAR", "RSQB", "ARROW", "PLUS"}
_MAX_MISTAKES = 10


class Brackets:
    """Matches the brackets of a text: what is missing is put in, what is too much is left out.

    Attributes:
        diagnostics: what was found.
        told: where the tokens start that were found wrong, here or before.
    """

    def __init__(self, source: Source, told: set[int]) -> None:
        self.source = source
        self.told = told
        self.diagnostics: list[Diagnostic] = []

    def mend(self, tokens: list[Token]) -> list[Token]:
        """The tokens with matching brackets; empty where there are too many mistakes to go on."""
        for _ in range(_MAX_MISTAKES):
            mended = self._mend_first(tokens)
            if mended is None:
                return tokens
            tokens = mended
        return [] if self._mend_first(tokens) else tokens

    def _mend_first(self, tokens: list[Token]) -> list[Token] | None:
        """The tokens without their first mistake; None where there is none."""
        missing = sum((t.type == "LBRACE") - (t.type == "RBRACE") for t in tokens)
        opened: list[int] = []
        for i, token in enumerate(tokens):
            kind = token.type
            if kind in _CLOSER:
                opened.append(i)
            elif kind in _OPENER:
                if not opened or tokens[opened[-1]].type != _OPENER[kind]:
                    return self._wrong_closer(tokens, opened, i)
                brace = opened.pop()
                if missing < 0 and not opened and kind == "RBRACE" and _goes_on(tokens, i):
                    return self._early_closer(tokens, brace, i)
            elif kind in _STATEMENTS and opened and tokens[i - 1].type == "END":
                if tokens[opened[-1]].type != "LBRACE":
                    return self._unclosed_line(tokens, opened)
                owner = _first_of_line(tokens, opened[-1])
                if missing > 0 and (kind in _TOP_LEVEL or kind in _ENDS_BODY.get(owner, ())):
                    return self._unclosed_body(tokens, opened[-1], i)
            elif missing > 0 and opened and _is_setting(tokens, i) and token in SETTINGS:
                owner = _first_of_line(tokens, opened[-1])
                if tokens[opened[-1]].type == "LBRACE" and owner in ("VARY", "CLAIM"):
                    return self._unclosed_body(tokens, opened[-1], i)
        if not opened:
            return None
        if tokens[opened[-1]].type == "LBRACE":
            return self._unclosed_body(tokens, opened[-1], len(tokens))
        return self._unclosed_line(tokens, opened)

    def _wrong_closer(self, tokens: list[Token], opened: list[int], i: int) -> list[Token]:
        token = tokens[i]
        inner = _inside_braces(tokens, opened)
        wanted = _OPENER[token.type]
        if token.type == "RBRACE" and inner:
            return self._unclosed_line(tokens, opened)
        if any(tokens[n].type == wanted for n in inner):
            bracket = tokens[inner[-1]]
            sign = _SIGN[_CLOSER[bracket.type]]
            self._tell(
                bracket,
                f"`{bracket}` is not closed",
                "this bracket stays open",
                f"add `{sign}` before the `{token}` of line {token.line}",
            )
            return [*tokens[:i], _made(_CLOSER[bracket.type], token), *tokens[i:]]
        if inner:
            bracket = tokens[inner[-1]]
            self._tell(
                bracket,
                f"`{bracket}` is closed by `{token}`",
                f"closed by the `{token}` of line {token.line}, column {token.column}",
                f"write `{_SIGN[_CLOSER[bracket.type]]}` there",
            )
            return [*tokens[:i], token.update(_CLOSER[bracket.type]), *tokens[i + 1 :]]
        if token.type == "RBRACE" and (header := _bare_header(tokens, i)) is not None:
            return self._missing_brace(tokens, *header)
        if i:
            self.told.add(tokens[i - 1].start_pos or 0)
        self._tell(token, f"`{token}` closes nothing", f"no `{_SIGN[wanted]}` is open here", "delete it")
        return tokens[:i] + tokens[i + 1 :]

    def _early_closer(self, tokens: list[Token], brace: int, i: int) -> list[Token]:
        what = _first_of_line(tokens, brace).lower()
        self._tell(
            tokens[i],
            "one `}` too many",
            f"this closes the {what} of line {tokens[brace].line}, and more of it follows",
            "delete it",
        )
        return tokens[:i] + tokens[i + 1 :]

    def _unclosed_line(self, tokens: list[Token], opened: list[int]) -> list[Token]:
        """Closes all brackets where the line that opens the first of them ends by its nature."""
        start = _inside_braces(tokens, opened)[0]
        still: list[int] = []
        end = start
        while end < len(tokens) and not _line_ends(tokens, end):
            kind = tokens[end].type
            if kind in ("LPAR", "LSQB"):
                still.append(end)
            elif kind in _OPENER:
                if len(still) < 2 or tokens[still[-1]].type != _OPENER[kind]:
                    break
                still.pop()
            end += 1
        line = tokens[start:end]
        bracket = tokens[still[-1]]
        if not any(t.start_pos in self.told for t in line):
            sign = "".join(_SIGN[_CLOSER[tokens[n].type]] for n in reversed(still))
            self._tell(
                bracket,
                f"`{bracket}` is not closed",
                "this bracket stays open",
                f"add `{sign}` at the end of line {line[-1].end_line}",
            )
        self.told.add(bracket.start_pos or 0)
        closers = [_made(_CLOSER[tokens[n].type], line[-1]) for n in reversed(still)]
        return [*tokens[:end], *closers, *tokens[end:]]

    def _missing_brace(self, tokens: list[Token], start: int, end: int) -> list[Token]:
        word, last = tokens[start], tokens[end - 1]
        span = place(self.source, last)
        span = Span(self.source, span.end_line, span.end_column, span.end_line, span.end_column + 1)
        if not any(t.start_pos in self.told for t in tokens[start:end]):
            self.diagnostics.append(
                Diagnostic(
                    "E101", "`{` is missing", span, f"expected the body of this {word}", help="write `{` here"
                )
            )
        self.told.add(last.start_pos or 0)
        return [*tokens[:end], _made("LBRACE", last), *tokens[end:]]

    def _unclosed_body(self, tokens: list[Token], brace: int, end: int) -> list[Token]:
        token = tokens[brace]
        where = "at the end of the text"
        if end < len(tokens):
            where = f"before the `{tokens[end]}` of line {tokens[end].line}"
        self._tell(token, "`{` is not closed", "this body has no end", f"add `}}` {where}")
        last = tokens[min(end, len(tokens) - 1)]
        return [*tokens[:end], _made("RBRACE", last), _made("END", last), *tokens[end:]]

    def _tell(self, token: Token, message: str, label: str, help: str) -> None:
        self.diagnostics.append(Diagnostic("E102", message, place(self.source, token), label, help=help))
        self.told.add(token.start_pos or 0)


def _inside_braces(tokens: list[Token], opened: list[int]) -> list[int]:
    """Of the brackets that are open, the round and square ones behind the last brace."""
    braces = [n for n, i in enumerate(opened) if tokens[i].type == "LBRACE"]
    return opened[braces[-1] + 1 :] if braces else opened


def _first_of_line(tokens: list[Token], i: int) -> str:
    while i and tokens[i - 1].type not in ("END", "LBRACE", "RBRACE"):
        i -= 1
    return tokens[i].type


def _is_setting(tokens: list[Token], i: int) -> bool:
    """Whether a line begins at token `i` that gives a setting."""
    return (
        tokens[i].type == "NAME"
        and i + 1 < len(tokens)
        and tokens[i + 1].type == "EQUALS"
        and i > 0
        and tokens[i - 1].type == "END"
    )


def _goes_on(tokens: list[Token], i: int) -> bool:
    """Whether what follows token `i` can stand in a body only."""
    following = next((n for n in range(i + 1, len(tokens)) if tokens[n].type not in ("END", "RBRACE")), None)
    if following is None:
        return False
    return tokens[following].type in _INSIDE_ONLY or _is_setting(tokens, following)


def _bare_header(tokens: list[Token], before: int) -> tuple[int, int] | None:
    """Start and end of the last line before a token that should open a body and doesn't."""
    end = before
    for i in range(before - 1, -1, -1):
        if tokens[i].type == "END":
            end = i
        elif tokens[i].type in ("LBRACE", "RBRACE"):
            end = -1
        elif (
            tokens[i].type in _HEADERS
            and (i == 0 or tokens[i - 1].type in ("END", "LBRACE"))
            and end > i + (tokens[i].type != "VARY")
            and all(t.type != "EQUALS" for t in outside_brackets(tokens[i:end]))
        ):
            return i, end
    return None


def outside_brackets(line: list[Token]) -> list[Token]:
    """The tokens of a line that stand in no round or square brackets."""
    out, depth = [], 0
    for token in line:
        depth -= token.type in ("RPAR", "RSQB")
        if not depth:
            out.append(token)
        depth += token.type in ("LPAR", "LSQB")
    return out


def _line_ends(tokens: list[Token], i: int) -> bool:
    """Whether a line ends before token `i`, whatever is open."""
    token = tokens[i]
    if token.type in ("LBRACE", "RBRACE"):
        return True
    if token.type != "END":
        return False
    if token == ";":
        return True
    following = next((t.type for t in tokens[i:] if t.type != "END"), "END")
    if following in _STATEMENTS:
        return True
    return tokens[i - 1].type not in _LEADS_ON and following not in _CARRIES_ON


def _made(kind: str, near: Token) -> Token:
    return Token.new_borrow_pos(kind, {"END": ";"}.get(kind) or _SIGN[kind], near)
