"""Files that spare a process work an earlier one has done: compiled kernels, proofs that a kernel is right.

A file is taken only where it is whole and was written under the same name; the name holds what the content
depends on (see `fingerprint`). So a torn, foreign or old file is the same as none, processes that write at
once can't harm each other, and a full disk only means that nothing is kept.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_log = logging.getLogger("archdsl.kernels")
_notice = threading.Event()
_DIGEST = hashlib.sha256().digest_size


def folders() -> list[Path]:
    """Where files are looked for and, in the first that takes them, written.

    `NUMBA_CACHE_DIR`, then the user's cache folder (`XDG_CACHE_HOME`, `.cache` in the home folder), then the
    installation. They need not exist.
    """
    home = os.environ.get("HOME" if os.name == "posix" else "USERPROFILE")
    user = os.environ.get("XDG_CACHE_HOME") or (home and os.path.join(home, ".cache"))
    installed = str(Path(__file__).parent / "__pycache__")
    bases = (os.environ.get("NUMBA_CACHE_DIR"), user, installed)
    return [Path(base, "archdsl", "kernels") for base in bases if base and os.path.isabs(base)]


@functools.cache
def fingerprint() -> str:
    """A digest of all kernels' sources and of the compiler's versions; empty where no source can be read."""
    from llvmlite import __version__ as llvmlite
    from numba import __version__ as numba

    digest = hashlib.sha256(f"{sys.version} {numba} {llvmlite}".encode())
    try:
        for name, source in _sources(files("archdsl.kernels"), ""):
            content = source.read_bytes()
            digest.update(f"{name} {len(content)} ".encode() + content)
    except (OSError, ImportError):
        return ""
    return digest.hexdigest()


def place() -> tuple[Path | None, str]:
    """The folder that files are written to, None where there is none; and why the others don't take them."""
    reasons: list[str] = []
    for folder in folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_safe(folder):
                with tempfile.TemporaryFile(dir=folder):
                    return folder, "; ".join(reasons)
            reasons.append(f"{folder}: others can write to it")
        except (OSError, ValueError) as error:
            reasons.append(f"{folder}: {getattr(error, 'strerror', None) or error}")
    return None, "; ".join(reasons) or "no folder is known"


def read(name: str) -> bytes | None:
    """What was written under the name, None where there is nothing whole."""
    for folder in folders():
        try:
            if not _is_safe(folder):
                continue
            stored = (folder / name).read_bytes()
        except (OSError, ValueError):
            continue
        content = stored[_DIGEST:]
        if stored[:_DIGEST] == _digest(name, content):
            return content
    return None


def write(name: str, content: bytes, tell: bool = True) -> bool:
    """Keep the content under the name, in the first folder that takes it; says whether one did.

    Where none does, one notice tells so if `tell`, once in a process (a warning of the logger
    `archdsl.kernels`).
    """
    reasons = []
    for folder in folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_safe(folder):
                reasons.append(f"{folder}: others can write to it")
                continue
            _put(folder / name, _digest(name, content) + content)
        except (OSError, ValueError) as error:
            reasons.append(f"{folder}: {getattr(error, 'strerror', None) or error}")
            continue
        return True
    if tell:
        notice("; ".join(reasons) or "no folder is known")
    return False


def notice(reason: str) -> None:
    """Tell once in a process that nothing is kept, and why."""
    if not _notice.is_set():
        _notice.set()
        _log.warning(
            "compiled kernels can't be kept (%s): every process compiles them anew, in a few seconds; "
            "NUMBA_CACHE_DIR=/a/folder/of/yours changes that",
            reason,
        )


def _put(path: Path, content: bytes) -> None:
    """Write beside it, then rename: a reader sees the old file, the new one, or none."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _is_safe(folder: Path) -> bool:
    """Whether nobody but the user and root can write to it: what is read there is run."""
    found = folder.lstat()
    if os.name != "posix":
        return stat.S_ISDIR(found.st_mode)
    owned = found.st_uid in (os.geteuid(), 0)
    return stat.S_ISDIR(found.st_mode) and owned and not found.st_mode & 0o022


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    """Every file with code below the folder, in the order of names."""
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name == "__pycache__":
            continue
        if entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".py", ".pyc")):
            yield prefix + entry.name, entry
