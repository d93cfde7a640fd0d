"""What is wrong where the parser stopped: told from the tokens around and what could stand there."""

from __future__ import annotations

from archdsl.diagnostics import Diagnostic
from archdsl.lang.mistakes.situation import Situation, expected_text, found_text
from archdsl.lang.mistakes.statements import header, statement
from archdsl.lang.mistakes.values import adjacent, missing_value, operator, separator
from archdsl.lang.mistakes.words import condition, equals, word


def explain(s: Situation) -> Diagnostic:
    """The mistake, by the first of the rules below that knows it."""
    for rule in (
        statement,
        header,
        word,
        missing_value,
        condition,
        equals,
        separator,
        operator,
        adjacent,
    ):
        if found := rule(s):
            return found
    what, expected = found_text(s.near(0)).removeprefix("the "), expected_text(s)
    if not s.at and s.body == "FILE":
        expected = "expected use, let, mixer, block or arch"
        return s.tell(f"unexpected {what}", expected, "an .arch file is made of definitions")
    return s.tell(f"unexpected {what}", expected, "delete it, or read `archdsl explain E101`")
