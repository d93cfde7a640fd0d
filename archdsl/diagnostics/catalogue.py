"""The catalogue of codes: what each rule says, why it is there, and an example with its mending."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One code of the catalogue.

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


CATALOGUE: dict[str, Rule] = {}
