"""The TOML of published figures: what is large or deep beyond all use is refused before it takes time."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from typing import Any

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, Span

MAX_CHARACTERS = 200_000
"""Of a file of published figures."""
MAX_LEVELS = 20
"""Of tables and lists inside each other: rows need three."""
MAX_INTEGER = 1 << 63

_TWICE = re.compile(r"(?i)cannot (?:declare (\(.*\)) twice|overwrite a value)")
_QUOTED = re.compile(r"'([^']*)'")
_LONG_NUMBER = re.compile(r"[0-9][0-9A-Fa-f_xob]{16,}")
_NAME = r"""(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_DEEP_KEY = re.compile(rf"{_NAME}(?:[ \t]*+\.[ \t]*+{_NAME}){{50}}")
_LINE_OF_ERROR = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")


def tables(source: Source) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        DiagnosticError: E511.
    """
    if len(source.text) > MAX_CHARACTERS:
        raise DiagnosticError(_too_many(source))
    if _DEEP_KEY.search(source.text):
        raise DiagnosticError(_no_toml(source, "Nested too deep"))
    try:
        data = tomllib.loads(source.text)
    except tomllib.TOMLDecodeError as error:
        raise DiagnosticError(_no_toml(source, str(error))) from None
    except RecursionError:
        raise DiagnosticError(_no_toml(source, "Nested too deep")) from None
    except ValueError:  # Python converts no numbers of more than 4300 digits
        raise DiagnosticError(_too_long(source)) from None
    level: list[object] = [data]
    for _ in range(MAX_LEVELS):
        if any(isinstance(v, int) and abs(v) >= MAX_INTEGER for v in level):
            raise DiagnosticError(_too_long(source))
        level = [v for outer in level for v in _inside(outer)]
    if level:
        raise DiagnosticError(_no_toml(source, "Nested too deep"))
    return data


def _too_many(source: Source) -> Diagnostic:
    return Diagnostic(
        "E511", "there are too many published figures", Span(source, 1, 1, 1, 2),
        f"more than {MAX_CHARACTERS:,} characters", help="leave out archs that no paper has",
    )  # fmt: skip


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _no_toml(source: Source, error: str) -> Diagnostic:
    found = _LINE_OF_ERROR.search(error)
    line, column = 1, 1
    if found is not None:
        last = source.text.count("\n") + 1
        line, column = (int(found[1]), int(found[2])) if found[1] else (last, len(source.line(last)) + 1)
        error = error[: found.start()]
    if twice := _TWICE.search(error):
        error = (
            f"{'.'.join(_QUOTED.findall(twice[1]))} is there already" if twice[1] else "it is there already"
        )
        step = "write each arch once, and each key of it"
    else:
        step = 'write `[name_of_an_arch]`, and below it lines such as `params = "29M"`'
    return Diagnostic(
        "E511", "the published figures are no TOML", Span(source, line, column, line, column + 1),
        error[:1].lower() + error[1:], help=step,
    )  # fmt: skip


def _too_long(source: Source) -> Diagnostic:
    line, column = 1, 1
    if found := _LONG_NUMBER.search(source.text):
        before = source.text[: found.start()]
        line, column = before.count("\n") + 1, found.start() - (before.rfind("\n") + 1) + 1
    return Diagnostic(
        "E511", "a number has too many digits", Span(source, line, column, line, column + 1),
        "no published figure is so long", help="write it as it is printed",
    )  # fmt: skip
