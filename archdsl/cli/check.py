"""`archdsl check`: every mistake in specs and searches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.files import spec_files
from archdsl.cli.messages import counted, report
from archdsl.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from archdsl.nas.factored.facts import Facts


def check(
    files: Annotated[
        list[Path], typer.Argument(help="Specs, searches, folders of them, or names of shipped ones.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnostics as a JSON list.")] = False,
) -> None:
    """Check specs and searches: syntax, names, parameters and shapes of every architecture, without PyTorch.

    Of a search every alternative is tried, and all its points are counted and costed at once: it is proved
    that they compile, or told which do not. The exit status is 2 where there is an error.
    """
    found = [_checked(path) for path in spec_files([_meant(path) for path in files])]
    diagnostics = list(dict.fromkeys(d for of_file, _ in found for d in of_file))
    errors = sum(d.severity is Severity.ERROR for d in diagnostics)
    warnings = len(diagnostics) - errors
    if as_json:
        import json

        spaces = [_space_row(facts) for _, of_file in found for facts in of_file]
        rows = [*(_row(d) for d in diagnostics), *spaces]
        typer.echo(json.dumps(rows, indent=2))
    else:
        report(diagnostics)
        for line in (line for _, of_file in found for facts in of_file for line in facts.lines()):
            typer.echo(line)
        checked = counted(len(found), "file")
        parts = [counted(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n]
        typer.echo(f"{checked} checked: {' and '.join(parts) or 'no mistakes'}")
    if errors:
        raise typer.Exit(2)


def _meant(path: Path) -> Path:
    """The path, or the file of the shipped spec or search of that name."""
    if path.exists():
        return path
    from archdsl.graph.library import file_of

    if (spec := file_of(str(path))) is not None:
        return spec
    from archdsl.nas.library import file_of as search_of

    return search_of(str(path)) or path


def _checked(path: Path) -> tuple[list[Diagnostic], Sequence[Facts]]:
    """What is wrong with a file, and what is known of the spaces of its searches."""
    if path.suffix != ".search":
        import archdsl

        return archdsl.check(path), []
    from archdsl.nas.read import check_file

    checked = check_file(path)
    return list(checked.diagnostics), checked.facts


def _row(d: Diagnostic) -> dict[str, object]:
    """A diagnostic for machines; lines and columns count from 1, ends are exclusive."""
    span = d.span
    return {
        "file": None if span is None else span.source.name,
        "line": None if span is None else span.line,
        "column": None if span is None else span.column,
        "end_line": None if span is None else span.end_line,
        "end_column": None if span is None else span.end_column,
        "severity": d.severity.value,
        "code": d.code,
        "message": d.message,
        "label": d.label,
        "notes": list(d.notes),
        "help": d.help,
    }


def _space_row(facts: Facts) -> dict[str, object]:
    """What is known of the space of a search, in a row like those of diagnostics, which have no `space`."""
    empty = dict.fromkeys(("file", "line", "column", "end_line", "end_column"))
    size, *lines = facts.lines()
    texts = {"message": size, "label": "", "notes": [line.strip() for line in lines], "help": ""}
    return {**empty, "severity": "info", "code": "", **texts, "space": facts.row()}
