"""Mistakes inside single tokens: told once, and mended so that the rest of the line can be read."""

from __future__ import annotations

import re
from itertools import takewhile

from lark import Token

from archdsl.diagnostics import Diagnostic, Source
from archdsl.lang.limits import place
from archdsl.lang.mistakes.foreign import foreign

MAX_MISTAKES = 50
_LOOK_ALIKES = {
    "→": ("ARROW", "->"),
    "⇒": ("ARROW", "->"),
    "|": ("ARROW", "->"),
    "×": ("X", "x"),
    "−": ("MINUS", "-"),
    "–": ("MINUS", "-"),
    "—": ("MINUS", "-"),
    "≤": ("LE", "<="),
    "≥": ("GE", ">="),
    "≠": ("NE", "!="),
    "÷": ("SLASH", "/"),
    "·": ("STAR", "*"),
    "&": ("AND", "and"),
    "!": ("NOT", "not"),
    "∈": ("IN", "in"),
    "…": ("RANGE", ".."),
    "“": (None, '"'),
    "”": (None, '"'),
    "‘": (None, '"'),
    "’": (None, '"'),
}
_CONSTANTS = {"true": "on", "false": "off", "none": "none", "null": "none"}
_CLOSERS = {")": "RPAR", "]": "RSQB", "}": "RBRACE"}
_REPETITION = re.compile(r"([0-9]+)x([a-z_]\w*)?$")
_SUFFIX = re.compile(r"([0-9][0-9.]*(?:[eE][+-]?[0-9]+)?)([^\W\d_]\w*)$")
_MISTYPED_SUFFIXES = {"k": "K", "m": "M", "g": "G", "t": "T", "b": "G", "B": "G"}


class Lexical:
    """Looks through the tokens of a text.

    Args:
        source: the text.
        search: whether it is a `.search` file.

    Attributes:
        diagnostics: what was found.
        told: where the tokens start that were found wrong.
    """

    def __init__(self, source: Source, search: bool = False) -> None:
        self.source = source
        self.search = search
        self.diagnostics: list[Diagnostic] = []
        self.told: set[int] = set()

    def mend(self, tokens: list[Token]) -> list[Token]:
        """The tokens with each wrong one reported and replaced, or left out, by what was probably meant.

        After `MAX_MISTAKES` the rest is left out.
        """
        out: list[Token] = []
        skipped: set[int] = set()
        for begin, end, instead in foreign(tokens, self.search):
            word = tokens[begin]
            self._tell(word, "E101", f"the language has no `{word}`", "unknown statement", instead)
            skipped.update(range(begin, end))
        for i, token in enumerate(tokens):
            if len(self.diagnostics) >= MAX_MISTAKES:
                break
            if i in skipped or token.type == "COMMENT":
                continue
            mended = self._mend_one(token, out, tokens[i - 1 : i], tokens[i + 1 : i + 2])
            if not mended:
                near = out[-1:] if out and out[-1].type not in ("END", "LBRACE") else tokens[i + 1 : i + 2]
                self.told.update(other.start_pos or 0 for other in near)
            out += mended
        return out

    def _mend_one(
        self, token: Token, out: list[Token], before: list[Token], behind: list[Token]
    ) -> list[Token]:
        match token.type:
            case "BAD_NUMBER":
                self._tell_number(token)
                return [token.update("NUMBER", "1")]
            case "BAD_NAME":
                return [self._name(token)]
            case "RESERVED" if token in _CONSTANTS:
                return [self._name(token)]
            case "BAD_STRING":
                return self._string(token, _first_of_line(out) == "CLAIM")
            case "QUOTED":
                text = token.strip("'")
                self._tell(
                    token, "E101", "text stands in double quotes", "found single quotes", f'write "{text}"'
                )
                return [token.update("STRING", '""')]
            case "COLON":
                return self._colon(token, out, behind)
            case "UNKNOWN":
                return self._unknown(token, before, out)
            case _:
                return [token]

    def _tell(self, token: Token, code: str, message: str, label: str, instead: str) -> None:
        span = place(self.source, token)
        self.diagnostics.append(Diagnostic(code, message, span, label, help=instead))
        self.told.add(token.start_pos or 0)

    def _tell_number(self, token: Token) -> None:
        label = "this is no number"
        instead = "numbers look like 8, 2.5, 1e-5, 4M or 10ms"
        if found := _REPETITION.match(token):
            label = "repetition needs blanks around its `x`"
            instead = f"write `{found[1]} x {found[2] or 'block'}`"
        elif "_" in token and token.replace("_", "").isdigit():
            instead = f"write `{token.replace('_', '')}`"
        elif token.count(".") > 1:
            label = "a number has one decimal point"
        elif token.endswith("."):
            instead = f"write `{token}0` or `{token[:-1]}`"
        elif len(token) > 30 or re.fullmatch(r"[0-9.]+[eE][+-]?[0-9]+", token):
            label = "a number has at most 30 digits, and an exponent at most 3"
        elif found := _SUFFIX.match(token):
            label = f"`{found[2]}` is no suffix of a number"
            instead = "the suffixes are K, M, G, T, ms, us, s, min and h"
            if found[2] in _MISTYPED_SUFFIXES:
                instead = f"write `{found[1]}{_MISTYPED_SUFFIXES[found[2]]}`"
        self._tell(token, "E106", f"`{shortened(token)}` is no number", label, instead)

    def _name(self, token: Token) -> Token:
        if constant := _CONSTANTS.get(token.lower()):
            self._tell(
                token, "E101", f"there is no `{token}`", f"expected `{constant}`", f"write `{constant}`"
            )
            return token.update(constant.upper(), constant)
        plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", token).lower().lstrip("_")
        fits = re.fullmatch("[a-z][a-z0-9_]*", plain)
        self._tell(
            token,
            "E101",
            f"`{shortened(token)}` is no name",
            "names are made of a-z, 0-9 and _, and begin with a letter",
            f"write `{shortened(plain)}`" if fits else "choose a name such as `conv_block`",
        )
        return token.update("NAME", "name")

    def _string(self, token: Token, opens: bool) -> list[Token]:
        """A text, with the closing brackets that it swallowed; with its brace where it should open a body."""
        if re.fullmatch(r'"(?:[^"\\]|\\.)*".*', token):
            self._tell(
                token,
                "E101",
                "unknown escape in a text",
                "found a `\\` that escapes nothing",
                'the escapes are \\" \\\\ \\n \\t; write `\\\\` for a `\\`',
            )
        else:
            self._tell(
                token,
                "E102",
                "this text has no end",
                'the closing `"` is missing on this line',
                'add `"`; a text ends on the line where it begins',
            )
        if opens and token.rstrip().endswith("{"):
            return [token.update("STRING", '""'), token.update("LBRACE", "{")]
        swallowed = token[len(token.rstrip(")]} \t")) :]
        closers = [token.update(_CLOSERS[sign], sign) for sign in swallowed if sign in _CLOSERS]
        return [token.update("STRING", '""'), *closers]

    def _colon(self, token: Token, out: list[Token], behind: list[Token]) -> list[Token]:
        header = bool(behind) and behind[0].type == "END" and behind[0] != ";"
        first = _first_of_line(out)
        if header and first in ("ARCH", "STAGE", "BLOCK", "SEARCH", "VARY", "CLAIM"):
            self._tell(
                token,
                "E101",
                "a body stands in braces",
                "found `:`, expected `{`",
                "write `{` here and `}` after the last line",
            )
            return []
        if first in ("SEARCH", "VARY", "CLAIM"):
            self._tell(token, "E101", "`:` is not needed here", "found `:`", "delete it")
            return []
        if _innermost(out) == "LSQB":
            self._tell(
                token,
                "E101",
                "a slice is written with `..`",
                "found `:`, expected `..`",
                "write `[a..b]`: b is left out",
            )
            return [token.update("RANGE", "..")]
        if self.search and _body(out) == "VARY" and (begun := _line_so_far(out)) & {"IN"}:
            if "RANGE" in begun:
                return []
            if not begun & {"LPAR", "LSQB"}:
                self._tell(
                    token,
                    "E101",
                    "a range is written with `..`",
                    "found `:`, expected `..`",
                    "write `4 .. 16`",
                )
                return [token.update("RANGE", "..")]
        elif self.search and _body(out) == "VARY":
            self._tell(
                token,
                "E101",
                "a place is varied with `in`",
                "found `:`, expected `in`",
                "write `s3.heads in one_of(2, 4)`",
            )
            return [token.update("IN", "in")]
        self._tell(
            token, "E101", "a value is given with `=`", "found `:`, expected `=`", "write `name = value`"
        )
        return [token.update("EQUALS", "=")]

    def _unknown(self, token: Token, before: list[Token], out: list[Token]) -> list[Token]:
        kind, meant = _LOOK_ALIKES.get(token, (None, ""))
        if before and before[0].type == "UNKNOWN" and before[0].end_pos == token.start_pos:
            return []
        if token == "|" and self.search and _body(out) == "VARY":
            meant = "one_of(a, b)"
        shown = f"`{token}`" if token.isprintable() and token != "`" else f"the character U+{ord(token):04X}"
        self._tell(
            token,
            "E101",
            f"{shown} has no meaning here",
            "unexpected character",
            f"did you mean `{meant}`?" if meant else "delete it",
        )
        return [token.update(kind, meant)] if kind else []


def shortened(text: str) -> str:
    """A text from the user, short enough for a message."""
    return text if len(text) <= 40 else text[:37] + "..."


def _first_of_line(before: list[Token]) -> str:
    kind = ""
    for token in reversed(before):
        if token.type in ("END", "LBRACE"):
            break
        kind = token.type
    return kind


def _body(before: list[Token]) -> str:
    """What the braces belong to that are open behind the tokens, '' for none."""
    closed = 0
    for i in range(len(before) - 1, -1, -1):
        kind = before[i].type
        closed += (kind == "RBRACE") - (kind == "LBRACE")
        if closed < 0:
            return _first_of_line(before[:i])
    return ""


def _line_so_far(before: list[Token]) -> set[str]:
    """The kinds of the tokens since the last line began."""
    return {t.type for t in takewhile(lambda t: t.type not in ("END", "LBRACE"), reversed(before))}


def _innermost(before: list[Token]) -> str:
    """The kind of the bracket that is open on this line behind the tokens, '' for none."""
    closed = 0
    for token in reversed(before):
        if token.type in ("RPAR", "RSQB"):
            closed += 1
        elif token.type in ("LPAR", "LSQB"):
            if not closed:
                return token.type
            closed -= 1
        elif token.type in ("LBRACE", "RBRACE"):
            break
    return ""
