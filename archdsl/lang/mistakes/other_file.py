"""Statements of the other kind of file: definitions in a `.search` file, searches in an `.arch` file."""

from __future__ import annotations

from lark import Token

from archdsl.diagnostics import Diagnostic
from archdsl.lang.mistakes.situation import Situation, text_before

_DEFINITIONS = {"mixer", "block", "arch", "stage"}
_SEARCHES = {"search", "vary", "claim"}
_FOLLOWS = {"NAME", "BAD_NAME", "STRING", "BAD_STRING", "QUOTED", "LBRACE", "RESERVED"}
_LINE_STARTS = {"END", "LBRACE", "RBRACE", "COMMENT"}
DEFINITION_KINDS = {"MIXER", "BLOCK", "ARCH", "STAGE", "RESIDUAL"}
SEARCH_KINDS = {"SEARCH", "VARY", "CLAIM"}


def other_statements(tokens: list[Token], search: bool) -> list[Token]:
    """The tokens; a line that begins as a statement of the other kind of file begins with its keyword.

    Args:
        tokens: of a whole text.
        search: whether it is a `.search` file.
    """
    words = _DEFINITIONS if search else _SEARCHES
    out: list[Token] = []
    for i, token in enumerate(tokens):
        begins = token in words and (i == 0 or tokens[i - 1].type in _LINE_STARTS)
        named = begins and i + 1 < len(tokens) and tokens[i + 1].type in _FOLLOWS
        out.append(token.update(type=token.upper()) if named else token)
    return out


def other_file(s: Situation) -> Diagnostic | None:
    """A line that belongs into the other kind of file."""
    first = s.line[0]
    if not s.search and s.body in ("ARCH", "STAGE") and (found := _variation(s)):
        return found
    if s.at:
        return None
    if s.search and first.type in DEFINITION_KINDS:
        return s.tell(
            f"`{first}` is not allowed here",
            f"this is a .search file; `{first}` stands in an .arch file",
            'move it to an .arch file, and take that with `use "file.arch"`',
            code="E107",
        )
    if not s.search and first.type in SEARCH_KINDS:
        of_search = s.source.name.endswith(".search")
        return s.tell(
            f"`{first}` is not allowed here",
            f"`{first}` stands in a .search file, and this is read as an .arch file",
            f"run it with `archdsl search {s.source.name}`"
            if of_search
            else "move it to a file whose name ends in `.search`",
            code="E107",
        )
    return None


def _variation(s: Situation) -> Diagnostic | None:
    """`heads in one_of(2, 4)` in the body of an arch or stage."""
    word = next((token for token in s.line if token.type == "RESERVED" and token == "in"), None)
    if word is None or s.line[0].type != "NAME":
        return None
    place = text_before(s.line, "RESERVED")
    return s.tell(
        "`in` is not allowed here",
        "what is varied stands in a .search file",
        f"write `{place} = ...` here, and `vary {{ {place} in ... }}` there",
        code="E107",
        token=word,
    )
