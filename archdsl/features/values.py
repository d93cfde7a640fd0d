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
        inside = [_text(a) for a in self.args] + [f"{k} = {_text(v)}" for k, v in self.kwargs]
        return f"{self.name}({', '.join(inside)})" if inside else self.name


def _text(value: object) -> str:
    """A value in the words of the language."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else "on" if value else "off"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    return str(value)
