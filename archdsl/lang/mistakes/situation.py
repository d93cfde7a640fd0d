"""Where the parser stopped, as the rules that explain it see it; kinds of terminals they speak of."""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token

from archdsl.diagnostics import Diagnostic, Source, Span
from archdsl.lang.limits import place

KEYWORDS = {"USE", "MIXER", "BLOCK", "ARCH", "STAGE", "LET", "REQUIRE", "RESIDUAL", "SEARCH", "VARY", "CLAIM"}
WORDS = {"X", "EACH", "ON", "OFF", "NONE", "SAME", "AND", "OR", "NOT", "IN", "RESERVED"}
OPERATORS = {"ARROW", "PLUS", "MINUS", "STAR", "SLASH", "FLOOR", "PERCENT", "X"}
COMPARISONS = {"EQ", "NE", "LT", "LE", "GT", "GE"}
CONDITIONS = COMPARISONS | {"AND", "OR", "NOT"}
VALUES = {"NAME", "NUMBER", "STRING", "ON", "OFF", "NONE", "SAME", "LSQB", "LPAR"}
ENDS_VALUE = {"NAME", "NUMBER", "STRING", "ON", "OFF", "NONE", "SAME", "RSQB", "RPAR"}
CLOSERS = {"RPAR", "RSQB"}
SETTINGS = (
    "arch", "task", "maximize", "minimize", "sampler", "stop", "repeat", "budget", "limit", "synchronous"
)  # fmt: skip
"""The settings of a search: what most likely is meant where one stands in a wrong place."""
_LINES = {
    "BLOCK": "a line of a block: a pipeline, `residual` and a pipeline, `let` or `require`",
    "SEARCH": "a line of a search: a setting `name = value`, `let`, `vary`, `require` or `claim`",
    "VARY": "a place and what may stand there: `s3.heads in one_of(2, 4)`",
    "CLAIM": "a comparison: `accuracy(dim = 64) > accuracy(dim = 32)`",
}
_SIGNS = {
    "EQUALS": "`=`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "RANGE": "`..`",
    "IN": "`in`",
    "NAME": "a name",
    "STRING": 'a "text"',
    "END": "the end of the line",
}


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the parser stopped.

    Args:
        source: the text.
        body: what the line stands in: FILE, ARCH, STAGE, BLOCK, SEARCH, VARY, CLAIM, or VALUE for a single
            value.
        line: the tokens of the line, with its end.
        at: which of them was refused.
        accepts: the terminals that were possible in its place.
        search: whether it is a `.search` file.
    """

    source: Source
    body: str
    line: list[Token]
    at: int
    accepts: set[str]
    search: bool = False

    def near(self, offset: int) -> Token:
        """The token `offset` places from the refused one; one without type outside the line."""
        i = self.at + offset
        return self.line[i] if 0 <= i < len(self.line) else Token("", "")

    def tell(
        self, message: str, label: str, help: str = "", *, code: str = "E101", token: Token | None = None
    ) -> Diagnostic:
        """A diagnostic at the refused token or at another one; at an end, behind the last word."""
        token = token or self.near(0)
        span = place(self.source, token)
        if token.type in ("END", "$END") and token is self.near(0) and self.at:
            last = place(self.source, self.near(-1))
            span = Span(self.source, last.end_line, last.end_column, last.end_line, last.end_column + 1)
        return Diagnostic(code, message, span, label, help=help)


def found_text(token: Token) -> str:
    if token.type in ("END", "$END"):
        return (
            "`;`"
            if token == ";"
            else "the end of the text"
            if token.type == "$END"
            else "the end of the line"
        )
    text = str(token)
    return f"`{text}`" if len(text) <= 40 else f"`{text[:37]}...`"


def text_before(line: list[Token], kind: str) -> str:
    """What stands before the first token of a kind, without blanks, short enough for a message."""
    out = ""
    for token in line:
        if token.type == kind:
            break
        out += token
    return out if len(out) <= 40 else f"{out[:37]}..."


def expected_text(s: Situation) -> str:
    takes = s.accepts
    out = []
    if "NUMBER" in takes:
        out.append("a value")
        takes = takes - VALUES - {"MINUS", "NOT"}
    if s.body in _LINES and not s.at:
        return f"expected {_LINES[s.body]}"
    out += [sign for kind, sign in _SIGNS.items() if kind in takes and kind not in ("LPAR", "LSQB")]
    if takes & {"PLUS", "STAR"}:
        out.insert(0, "an operator")
    if not out:
        out = ["the end of the text"]
    return "expected " + (", ".join(out[:-1]) + " or " + out[-1] if len(out) > 1 else out[0])
