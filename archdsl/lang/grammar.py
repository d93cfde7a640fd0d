"""The grammar, loaded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from lark import Lark, Token
from lark.parsers.lalr_interactive_parser import InteractiveParser

from archdsl.lang.build import BUILD


class EveryToken:
    """Keeps the terminals that no rule mentions: comments, and mistakes that have a name."""

    always_accept = (
        "BAD_NAME",
        "BAD_NUMBER",
        "BAD_STRING",
        "COLON",
        "COMMENT",
        "QUOTED",
        "RESERVED",
        "UNKNOWN",
    )

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens as they come; `layout` puts them in order for the parser."""
        return stream


@cache
def grammar() -> Lark:
    """The parser of `.arch` files (`file`) and of single values (`value`)."""
    return Lark.open_from_package(
        "archdsl.grammars",
        "arch.lark",
        parser="lalr",
        lexer="basic",
        postlex=EveryToken(),
        start=["file", "value"],
        keep_all_tokens=True,
        maybe_placeholders=False,
        transformer=BUILD,
    )


def start(rule: str, text: str) -> tuple[InteractiveParser, list[Token]]:
    """A parser waiting for its first token, and the tokens of `text`, comments and line ends included."""
    parser = grammar().parse_interactive(text, start=rule)
    return parser, list(parser.lexer_thread.lex(parser.parser_state))  # type: ignore[no-untyped-call]
