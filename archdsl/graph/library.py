"""The specs that are shipped with the package."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

PRELUDE = "prelude.arch"
_ARCH = re.compile(r"^[ \t]*arch[ \t]+([a-z][a-z0-9_]*)", re.MULTILINE)


@lru_cache(maxsize=1)
def folder() -> Path:
    """The folder of the shipped specs."""
    return Path(str(files("archdsl.specs"))).resolve()


def shipped() -> tuple[Path, ...]:
    """All shipped spec files, the prelude first left out."""
    return tuple(sorted(p for p in folder().rglob("*.arch") if p != folder() / PRELUDE))


def index() -> dict[str, Path]:
    """Every shipped architecture by name, with its file; files nearer to the folder itself win."""
    found: dict[str, Path] = {}
    for path in sorted(shipped(), key=lambda p: (len(p.parts), p)):
        for name in _ARCH.findall(path.read_text(encoding="utf-8")):
            found.setdefault(name, path)
    return found


def file_of(arch: str) -> Path | None:
    """The shipped file that defines an architecture, or None."""
    named = folder() / f"{arch}.arch"
    if named in shipped() and arch in _ARCH.findall(named.read_text(encoding="utf-8")):
        return named
    return index().get(arch)
