"""Words: names with a meaning of their own to whoever takes them (`both`, `reverse(rows)`, `windows(14)`)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Word:
    """A name that stands for itself, with arguments where it was called.

    Args:
        name: the word as written.
        args: positional arguments (ints, Fractions, bools, strings, words, tuples of them).
        kwargs: named arguments in the order written.
    """

    name: str
    args: tuple[object, ...] = ()
    kwargs: tuple[tuple[str, object], ...] = field(default=())

    def __str__(self) -> str:
        inside = [str(a) for a in self.args] + [f"{k} = {v}" for k, v in self.kwargs]
        return f"{self.name}({', '.join(inside)})" if inside else self.name
