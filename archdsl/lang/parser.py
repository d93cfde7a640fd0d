"""From text to tree."""

from __future__ import annotations

from typing import cast

from lark.exceptions import UnexpectedToken

from archdsl.diagnostics import DiagnosticError, Source
from archdsl.lang import tree as t
from archdsl.lang.build import BUILD, BUILD_SEARCH, as_path
from archdsl.lang.grammar import ARCH, SEARCH, start
from archdsl.lang.layout import layout
from archdsl.lang.limits import check_nesting, check_size
from archdsl.lang.text import check_text


def parse(source: Source) -> t.File:
    """The tree of an `.arch` file.

    Raises:
        DiagnosticError: with every E1 mistake of the text.
    """
    return cast(t.File, _parse("file", source))


def parse_search(source: Source) -> t.SearchFile:
    """The tree of a `.search` file.

    Raises:
        DiagnosticError: with every E1 mistake of the text.
    """
    return cast(t.SearchFile, _parse("file", source, SEARCH))


def parse_expression(source: Source) -> t.Expr:
    """The tree of a single value, `24 x scan(order = both)`; newlines are space.

    Raises:
        DiagnosticError: with the E1 mistakes of the text.
    """
    return cast(t.Expr, _parse("value", source))


def parse_path(source: Source) -> t.Path:
    """A path, `s3.blocks[2].state`.

    Raises:
        DiagnosticError: with the E1 mistakes of the text.
    """
    return as_path(parse_expression(source))


def _parse(rule: str, source: Source, grammar: str = ARCH) -> t.Node:
    check_text(source)
    build = BUILD if grammar == ARCH else BUILD_SEARCH
    with build.lock:
        build.source = source
        parser, tokens = start(rule, source.text, grammar)
        check_size(source, tokens)
        try:
            for token in layout(tokens, enclosed=rule != "file"):
                parser.feed_token(token)
            root = cast(t.Node, parser.feed_eof())  # type: ignore[no-untyped-call]
        except (UnexpectedToken, DiagnosticError):
            from archdsl.lang.mistakes.recover import mistakes

            raise DiagnosticError(*mistakes(rule, source, tokens, grammar)) from None
    check_nesting(root)
    return root
