"""Specs and searches named on a command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from archdsl.cli.messages import mistake

KINDS = (".arch", ".search")


def spec_files(paths: Iterable[Path], kinds: Sequence[str] = KINDS) -> list[Path]:
    """The files, folders replaced by all files of these kinds in them; each once, in the order given.

    Raises:
        DiagnosticError: E501 for a folder without such files.
    """
    return list(dict.fromkeys(file for path in paths for file in _of(path, kinds)))


def _of(path: Path, kinds: Sequence[str]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    inside = sorted(file for kind in kinds for file in path.rglob(f"*{kind}"))
    if not inside:
        raise mistake(
            "E501",
            f"there is no {' or '.join(kinds)} file in {path}",
            help="name a file, or a folder with some",
        )
    yield from inside
