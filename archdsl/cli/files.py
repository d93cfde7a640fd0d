"""Specs and searches named on a command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from archdsl.cli.messages import mistake

_KINDS = (".arch", ".search")


def spec_files(paths: Iterable[Path]) -> list[Path]:
    """The files, folders replaced by all specs and searches in them; each once, in the order given.

    Raises:
        DiagnosticError: E501 for a folder without such files.
    """
    return list(dict.fromkeys(file for path in paths for file in _of(path)))


def _of(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    inside = sorted(file for kind in _KINDS for file in path.rglob(f"*{kind}"))
    if not inside:
        raise mistake(
            "E501",
            f"there is no {' or '.join(_KINDS)} file in {path}",
            help="name a file, or a folder with some",
        )
    yield from inside
