"""Diagnostics as text, in the manner of rustc."""

from __future__ import annotations

from archdsl.diagnostics.diagnostic import Diagnostic

_MAX_WIDTH = 160


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic as plain text: code, place, source line with caret, notes and the next step."""
    d = diagnostic
    out = [f"{d.severity.value}[{d.code}]: {d.message}"]
    gutter = " "
    if d.span is not None:
        number = str(d.span.line)
        gutter = " " * len(number)
        line, column, end = _window(d)
        pad = "".join("\t" if c == "\t" else " " for c in line[: column - 1])
        out.append(f"{gutter} --> {d.span}")
        out.append(f"{gutter}  |")
        out.append(f"{number}  | {line}".rstrip())
        out.append(f"{gutter}  | {pad}{'^' * max(1, end - column)} {d.label}".rstrip())
    out += [f"{gutter}  = note: {note}" for note in d.notes]
    if d.help:
        out.append(f"{gutter}  = help: {d.help}")
    return "\n".join(out) + "\n"


def _window(d: Diagnostic) -> tuple[str, int, int]:
    """The part of the line that is shown, with the columns of the caret within it."""
    assert d.span is not None
    line = d.span.source.line(d.span.line)
    column = d.span.column
    end = d.span.end_column if d.span.end_line == d.span.line else len(line) + 1
    if len(line) > _MAX_WIDTH:
        start = max(0, min(column - 1 - _MAX_WIDTH // 3, len(line) - _MAX_WIDTH))
        line = line[start : start + _MAX_WIDTH]
        column -= start
        end -= start
    return line, column, min(end, len(line) + 2)
