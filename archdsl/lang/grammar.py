"""The grammar, loaded."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path

import lark
from lark import Lark, Token
from lark.parsers.lalr_interactive_parser import InteractiveParser

from archdsl.lang.build import BUILD, BUILD_SEARCH
from archdsl.lang.limits import MAX_TOKENS

ARCH, SEARCH = "arch.lark", "search.lark"
_VALUES = "values.lark"


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
        "RESIDUAL",
        "UNKNOWN",
    )

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens as they come; `layout` puts them in order for the parser."""
        return stream


def grammar_of(name: str) -> str:
    """The grammar of a file: `SEARCH` for `.search`, else `ARCH`."""
    return SEARCH if name.endswith(".search") else ARCH


@cache
def grammar(name: str = ARCH) -> Lark:
    """The parser of `.arch` or `.search` files (`file`) and of single values (`value`).

    Building the tables takes longer than most checks, so they are kept in the user's cache folder.
    Tables that another process is just writing, or that are broken, are built anew.
    """
    folder = private_cache()
    return build(folder / f"grammar-{_key(name)}" if folder else None, name)


def build(tables: Path | None, name: str = ARCH, *, debug: bool = False) -> Lark:
    """The parser, from the tables in a file where it exists, else from the grammar (and then written there).

    Args:
        name: the grammar, `ARCH` or `SEARCH`.
        tables: a file only the user can write to, because Lark unpickles it; None to use none.
        debug: tell conflicts of the grammar to Lark's logger.
    """
    return Lark.open_from_package(
        "archdsl.grammars",
        name,
        parser="lalr",
        lexer="basic",
        postlex=EveryToken(),
        start=["file", "value"],
        keep_all_tokens=True,
        maybe_placeholders=False,
        transformer=BUILD if name == ARCH else BUILD_SEARCH,
        debug=debug,
        cache=str(tables) if tables else False,
    )


def private_cache() -> Path | None:
    """The user's cache folder for archdsl, made where it is missing; None unless it is the user's alone."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base, "archdsl")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except (OSError, RuntimeError, ValueError):
        return None
    if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.W_OK):
        return None
    if os.name == "posix" and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        return None
    return folder


def start(rule: str, text: str, name: str = ARCH) -> tuple[InteractiveParser, list[Token]]:
    """A parser waiting for its first token, and the tokens of `text`, comments and line ends included.

    Reading stops with the first token beyond the limit.
    """
    parser = grammar(name).parse_interactive(text, start=rule)
    tokens: Iterator[Token] = parser.lexer_thread.lex(parser.parser_state)  # type: ignore[no-untyped-call]
    return parser, list(islice(tokens, MAX_TOKENS + 1))


def _key(grammar_file: str) -> str:
    digest = hashlib.sha256(f"{lark.__version__} {sys.version}".encode())
    for name in (grammar_file, _VALUES):
        digest.update(files("archdsl.grammars").joinpath(name).read_bytes())
    return digest.hexdigest()[:20]
