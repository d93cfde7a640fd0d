"""`archdsl fmt`: specs and searches in the one layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archdsl.cli.files import spec_files
from archdsl.cli.messages import coloured, counted, report
from archdsl.diagnostics import DiagnosticError


def fmt(
    files: Annotated[list[Path], typer.Argument(help=".arch and .search files, or folders of them.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 where a file would change.")
    ] = False,
    diff: Annotated[
        bool,
        typer.Option("--diff", help="Write nothing; print the changes, exit with 1 where there are any."),
    ] = False,
) -> None:
    """Format specs and searches in place. Comments and blank lines stay, nothing is reordered."""
    from archdsl.lang import format_source, read
    from archdsl.weights.files import write_text

    broken: list[DiagnosticError] = []
    changed = 0
    paths = spec_files(files)
    for path in paths:
        try:
            source = read(path)
            text = format_source(source)
        except DiagnosticError as error:
            broken.append(error)
            continue
        if text == source.text:
            continue
        changed += 1
        if diff:
            _print_diff(path, source.text, text)
        elif check:
            typer.echo(f"would change {path}")
        else:
            write_text(path, text)
            typer.echo(f"changed {path}")
    report([d for error in broken for d in error.diagnostics])
    verb = "would change" if check or diff else "changed"
    left = len(paths) - changed - len(broken)
    told = [f"{counted(n, 'file')} {what}" for n, what in ((changed, verb), (left, "unchanged")) if n]
    if told:
        typer.echo(", ".join(told), err=diff)
    if broken:
        raise typer.Exit(2)
    if changed and (check or diff):
        raise typer.Exit(1)


def _print_diff(path: Path, old: str, new: str) -> None:
    import sys
    from difflib import unified_diff

    paint = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"} if coloured(sys.stdout) else {}
    lines = unified_diff(old.splitlines(), new.splitlines(), str(path), f"{path} (formatted)", lineterm="")
    for line in lines:
        colour = paint.get(line[:1], "")
        typer.echo(f"{colour}{line}\x1b[0m" if colour else line)
