"""Next steps for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, or None where nothing is alike.

    >>> closest("widnow", ["window", "shift"])
    'window'
    """
    found = get_close_matches(name, sorted(set(candidates)), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, candidates: Iterable[str], otherwise: str = "") -> str:
    """A help line: "did you mean `window`?", else `otherwise`."""
    found = closest(name, candidates)
    return f"did you mean `{found}`?" if found else otherwise
