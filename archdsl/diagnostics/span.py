"""Places in source texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Source:
    """A text with the name under which people know it.

    Args:
        name: a path or a name such as `<--set>`.
        text: the whole text.
    """

    name: str
    text: str = field(repr=False)

    def line(self, number: int) -> str:
        """Line `number`, counted from 1, without its newline ('' past the end)."""
        lines = _lines(self.text)
        return lines[number - 1].rstrip("\r") if 1 <= number <= len(lines) else ""


@lru_cache(maxsize=4)
def _lines(text: str) -> list[str]:
    return text.split("\n")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source: lines and columns count from 1, the end is exclusive."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of `other`."""
        return Span(self.source, self.line, self.column, other.end_line, other.end_column)

    def covers(self, other: Span) -> bool:
        """Whether `other` starts inside this span."""
        start, end = (self.line, self.column), (self.end_line, self.end_column)
        return self.source is other.source and start <= (other.line, other.column) < end

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"
