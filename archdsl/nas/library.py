"""The searches that are shipped with the package."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError, did_you_mean


@lru_cache(maxsize=1)
def folder() -> Path:
    """The folder of the shipped searches."""
    return Path(str(files("archdsl.searches"))).resolve()


def index() -> dict[str, Path]:
    """Every shipped search file by name."""
    return {path.stem: path for path in sorted(folder().glob("*.search"))}


def file_of(name: str) -> Path | None:
    """The file of a shipped search, or None."""
    return index().get(name)


def path_of(source: str | Path) -> Path:
    """The file that is meant: a path, or the name of a shipped search.

    Raises:
        DiagnosticError: E509 where the text is neither.
    """
    text = str(source)
    if isinstance(source, Path) or text.endswith(".search") or "/" in text or _is_file(text):
        return Path(source)
    path = file_of(text)
    if path is None:
        raise DiagnosticError(
            Diagnostic(
                "E509", f"there is no search `{text}`", label="not a file, and not shipped",
                help=did_you_mean(text, index(), "give a path, or the name of a shipped search"),
            )
        )  # fmt: skip
    return path


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # longer than a path can be
        return False
