"""Diagnostics as text, in the manner of rustc."""

from __future__ import annotations

from unicodedata import category, combining, east_asian_width

from archdsl.diagnostics.diagnostic import Diagnostic
from archdsl.diagnostics.span import Span

_MAX_WIDTH = 160
_CUT = "..."


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic as plain text: code, place, source line with caret, notes and the next step.

    Of a span over several lines the first is shown; without a span the label is the first note. Characters
    that a terminal would act on, or that can't be written, are shown as pictures of themselves.
    """
    d = diagnostic
    out = [f"{d.severity.value}[{d.code}]: {d.message}"]
    gutter = " "
    if d.span is not None:
        number = str(d.span.line)
        gutter = " " * len(number)
        line, start, end = _window(d.span)
        pad = "".join("\t" if c == "\t" else " " * _width(c) for c in line[:start])
        carets = "^" * max(1, sum(_width(c) for c in line[start:end]))
        out.append(f"{gutter} --> {d.span}")
        out.append(f"{gutter}  |")
        out.append(f"{number}  | {line}".rstrip())
        out.append(f"{gutter}  | {pad}{carets} {d.label}".rstrip())
    elif d.label:
        out.append(f"{gutter}  = note: {d.label}")
    out += [f"{gutter}  = note: {note}" for note in d.notes]
    if d.help:
        out.append(f"{gutter}  = help: {d.help}")
    return "\n".join("".join(map(_shown, text)) for text in out) + "\n"


def _window(span: Span) -> tuple[str, int, int]:
    """The part of the first line that is shown, with the place of the carets within it."""
    line = "".join(map(_shown, span.source.line(span.line)))
    start = min(span.column - 1, len(line))
    end = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
    end = max(start + 1, min(end, len(line)))
    if len(line) <= _MAX_WIDTH:
        return line, start, end
    left = max(0, min(start - _MAX_WIDTH // 3, len(line) - _MAX_WIDTH))
    right = left + _MAX_WIDTH
    before = _CUT if left else ""
    behind = _CUT if right < len(line) else ""
    shift = len(before) - left
    return f"{before}{line[left:right]}{behind}", start + shift, min(end, right) + shift


def _width(character: str) -> int:
    """How many columns of a terminal a character takes."""
    if combining(character) or character == "\ufeff" or category(character) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def _shown(character: str) -> str:
    if character.isprintable() or character == "\t":
        return character
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else character if character == "\ufeff" else "\ufffd"
