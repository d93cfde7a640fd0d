"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError


@contextmanager
def written(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """Gives a temporary path beside `path`; what was written there takes the place of `path` at the end.

    The file is synced to disk before it is renamed, so that after a crash `path` holds the old content or
    the new. Where the body raises, `path` is left as it was and the temporary file is removed.

    Args:
        path: of the file.
        sync: without it only a crash of this process is provided for, not one of the system: for files that
            are looked at before they are believed, and written often.

    Raises:
        DiagnosticError: E508 where the folder or the file can't be written.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(_mode(target))
        if sync:
            _sync(temporary)
        os.replace(temporary, target)
        temporary = None
        if sync:
            _sync_folder(target.parent)
    except OSError as error:
        raise DiagnosticError(
            Diagnostic(
                "E508",
                f"cannot write {target}",
                notes=(error.strerror or str(error),),
                help="check that the folder exists, that it may be written to and that the disk has room",
            )
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def write_bytes(path: str | os.PathLike[str], content: bytes, *, sync: bool = True) -> None:
    """Writes a file by way of a temporary one, see `written`."""
    with written(path, sync=sync) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str, *, sync: bool = True) -> None:
    """Writes a text as UTF-8, newlines unchanged, see `written`."""
    write_bytes(path, text.encode(), sync=sync)


def _mode(target: Path) -> int:
    """The mode of the file that is replaced; for a new one what the umask leaves of 0666."""
    try:
        return target.stat().st_mode & 0o7777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the renaming durable; systems that can't open a folder do without."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
