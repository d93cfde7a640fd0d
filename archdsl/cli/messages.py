"""Diagnostics on their way to stderr, and mistakes in command lines as diagnostics."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from archdsl.diagnostics import Diagnostic, DiagnosticError, Severity
from archdsl.diagnostics.render import render

if TYPE_CHECKING:
    import typer

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_BLUE = "\x1b[1;34m"
_CYAN = "\x1b[36m"
_COLOUR = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m"}
_GUTTER = re.compile(r"^( *-->|\s*\d* +[|=])")


def coloured(stream: TextIO) -> bool:
    """Whether a stream gets colours: a terminal does, unless NO_COLOR is set; FORCE_COLOR overrules both."""
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def report(diagnostics: Sequence[Diagnostic]) -> None:
    """Prints diagnostics on stderr, a blank line between them."""
    paint = coloured(sys.stderr)
    texts = [_painted(render(d), d.severity) if paint else render(d) for d in diagnostics]
    print("\n".join(texts), file=sys.stderr, end="")


def _painted(text: str, severity: Severity) -> str:
    """The rendered text with colours: the head by severity, the caret's line too, the gutter blue."""
    first, *rest = text.splitlines()
    head, _, message = first.partition(": ")
    colour = _COLOUR[severity]
    lines = [f"{colour}{head}{_RESET}{_BOLD}: {message}{_RESET}"]
    for line in rest:
        gutter = _GUTTER.match(line)
        if gutter is None:
            lines.append(line)
            continue
        rest_of_line = line[gutter.end() :]
        if rest_of_line.lstrip().startswith("^"):
            rest_of_line = f"{colour}{rest_of_line}{_RESET}"
        elif rest_of_line.startswith(" help:"):
            rest_of_line = f"{_CYAN} help:{_RESET}{rest_of_line[6:]}"
        lines.append(f"{_BLUE}{gutter[0]}{_RESET}{rest_of_line}")
    return "\n".join(lines) + "\n"


def mistake(code: str, message: str, *, notes: Sequence[str] = (), help: str = "") -> DiagnosticError:
    """A mistake that no text of a spec is to blame for, to be raised."""
    return DiagnosticError(Diagnostic(code, message, notes=tuple(notes), help=help))


def usage_mistake(error: typer.TyperException) -> Diagnostic:
    """A wrong option, value or command as typer found it."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "archdsl"
    message = " ".join(error.format_message().split()).rstrip(".").replace(": Value error, ", ": ")
    return Diagnostic("E510", message[:1].lower() + message[1:], help=f"see `{path} --help`")


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
