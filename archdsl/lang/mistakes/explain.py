"""What is wrong where the parser stopped: told from the tokens around and what could stand there."""

from __future__ import annotations

from collections.abc import Callable

from archdsl.diagnostics import Diagnostic
from archdsl.lang.mistakes.other_file import other_file
from archdsl.lang.mistakes.searches import in_elsewhere, search_header, search_line
from archdsl.lang.mistakes.situation import Situation, expected_text, found_text
from archdsl.lang.mistakes.statements import header, statement
from archdsl.lang.mistakes.values import adjacent, missing_value, operator, separator
from archdsl.lang.mistakes.variations import variation
from archdsl.lang.mistakes.words import condition, equals, word

_Rule = Callable[[Situation], Diagnostic | None]
_COMMON: tuple[_Rule, ...] = (
    header,
    word,
    missing_value,
    condition,
    equals,
    separator,
    operator,
    adjacent,
)
_OF_SPECS: tuple[_Rule, ...] = (other_file, statement, *_COMMON)
_OF_SEARCHES: tuple[_Rule, ...] = (other_file, search_line, search_header, variation, in_elsewhere, *_COMMON)


def explain(s: Situation) -> Diagnostic:
    """The mistake, by the first of the rules below that knows it."""
    for rule in _OF_SEARCHES if s.search else _OF_SPECS:
        if found := rule(s):
            return found
    what, expected = found_text(s.near(0)).removeprefix("the "), expected_text(s)
    if not s.at and s.body == "FILE":
        if s.search:
            form = "a .search file is made of searches: `search name { arch = ...; task = ... }`"
            return s.tell(f"unexpected {what}", "expected use, let or search", form)
        expected = "expected use, let, mixer, block or arch"
        return s.tell(f"unexpected {what}", expected, "an .arch file is made of definitions")
    return s.tell(f"unexpected {what}", expected, "delete it, or read `archdsl explain E101`")
