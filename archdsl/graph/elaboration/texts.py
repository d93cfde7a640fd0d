"""Values as text of the language, for people who want to see them."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from archdsl.diagnostics import Source, Span
from archdsl.features import Word
from archdsl.graph.elaboration.scopes import Blocks, Cell, Part, Value
from archdsl.ops._types import describe


@lru_cache(maxsize=64)
def _lines(source: Source) -> tuple[str, ...]:
    return tuple(source.text.split("\n"))


def source_text(span: Span) -> str:
    """What stands in a source, on one line."""
    lines = _lines(span.source)[span.line - 1 : span.end_line]
    if not lines:
        return ""
    if len(lines) == 1:
        return lines[0][span.column - 1 : span.end_column - 1]
    inner = [lines[0][span.column - 1 :], *lines[1:-1], lines[-1][: span.end_column - 1]]
    return " ".join(part for line in inner if (part := line.split("#")[0].strip()))


def text_of(value: Value) -> str:
    """A value as text: exact numbers, networks as they were written."""
    if isinstance(value, Part):
        return source_text(value.expr.span)
    if isinstance(value, Blocks):
        return " + ".join(dict.fromkeys(text_of(p) for p in value.parts)) or "none"
    if isinstance(value, tuple):
        return f"[{', '.join(map(text_of, value))}]"
    if isinstance(value, Word) and (value.args or value.kwargs):
        args = [text_of(a) for a in value.args]  # type: ignore[arg-type]
        args += [f"{k} = {text_of(v)}" for k, v in value.kwargs]  # type: ignore[arg-type]
        return f"{value.name}({', '.join(args)})"
    if isinstance(value, Fraction):
        return number_text(value)
    if isinstance(value, Word):
        return value.name
    return describe(value)


def number_text(n: Fraction) -> str:
    """A number exactly: `8`, `2.5`, `1e-06`, else as a fraction `8 / 3`."""
    if n.denominator == 1:
        return str(n.numerator)
    short = f"{float(n):.15g}"
    return short if Fraction(short) == n else f"{n.numerator} / {n.denominator}"


def cell_text(cell: Cell) -> str:
    """The value of a cell as text; sequences of blocks as they were written."""
    value = cell.value
    if isinstance(value, Blocks) and cell.expr is not None:
        return source_text(cell.expr.span)
    return "" if cell.error is not None else text_of(value)  # type: ignore[arg-type]
