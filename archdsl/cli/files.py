"""Spec files named on a command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from archdsl.cli.messages import mistake


def spec_files(paths: Iterable[Path]) -> list[Path]:
    """The files, folders replaced by all `.arch` files in them; each once, in the order given.

    Raises:
        DiagnosticError: E501 for a folder without spec files.
    """
    return list(dict.fromkeys(file for path in paths for file in _of(path)))


def _of(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    inside = sorted(path.rglob("*.arch"))
    if not inside:
        raise mistake(
            "E501", f"there is no .arch file in {path}", help="name a spec file, or a folder with some"
        )
    yield from inside
