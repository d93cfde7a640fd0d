"""`archdsl check`: every mistake in spec files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archdsl.cli.files import spec_files
from archdsl.cli.messages import counted, report
from archdsl.diagnostics import Diagnostic, Severity


def check(
    files: Annotated[
        list[Path], typer.Argument(help="Spec files, folders of them, or names of shipped architectures.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnostics as a JSON list.")] = False,
) -> None:
    """Check spec files: syntax, names, parameters and shapes of every architecture, without PyTorch.

    The exit status is 2 where there is an error.
    """
    import archdsl
    from archdsl.graph.library import file_of

    meant = [path if path.exists() else file_of(str(path)) or path for path in files]
    found: dict[Path, list[Diagnostic]] = {path: archdsl.check(path) for path in spec_files(meant, [".arch"])}
    diagnostics = list(dict.fromkeys(d for of_file in found.values() for d in of_file))
    errors = sum(d.severity is Severity.ERROR for d in diagnostics)
    warnings = len(diagnostics) - errors
    if as_json:
        import json

        typer.echo(json.dumps([_row(d) for d in diagnostics], indent=2))
    else:
        report(diagnostics)
        checked = counted(len(found), "file")
        parts = [counted(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n]
        typer.echo(f"{checked} checked: {' and '.join(parts) or 'no mistakes'}")
    if errors:
        raise typer.Exit(2)


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
