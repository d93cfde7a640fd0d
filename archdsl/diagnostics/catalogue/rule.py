"""What the catalogue says about one code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One code of the catalogue.

    `wrong` and `right` are commands of the shell where they begin with `archdsl `. Else they are texts of the
    language: a whole file where an `arch` or a `search` stands in them, else lines of an arch, behind
    definitions and an empty line where there are any. For E4 codes they are lines of a search.

    Args:
        title: the rule in one line.
        explanation: what the rule says and why, in a few sentences.
        wrong: a text or command that breaks it.
        right: the same, mended.
    """

    title: str
    explanation: str
    wrong: str
    right: str
