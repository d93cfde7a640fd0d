"""The databases under a study: connections, locks against a second driver, and errors in plain words."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from archdsl.diagnostics import Diagnostic, DiagnosticError, need

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def sqlite(path: Path, timeout: float) -> BaseStorage:
    """Readers don't block the writer (WAL); a commit survives the death of the process, a power cut may take
    the last ones (synchronous=NORMAL)."""
    from optuna.storages import RDBStorage

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=timeout, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    # A path could hold what means something in a URL, or to Optuna, which takes the URL for a template.
    return RDBStorage("sqlite:///a_file", engine_kwargs={"creator": connect})


def holds_studies(path: Path) -> bool:
    """Whether an SQLite file has Optuna's tables; only looks."""
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return ("studies",) in tables


def server(url: str, place: str) -> BaseStorage:
    from optuna.storages import RDBStorage

    scheme, _, rest = url.partition("://")
    if scheme in ("postgres", "postgresql"):
        need("psycopg", "postgres")
        scheme = "postgresql+psycopg"
    elif not scheme.startswith("postgresql+"):
        raise DiagnosticError(
            Diagnostic(
                "E413",
                f"`{place}` is not a place for a study",
                help="sqlite:///path/to/study.db, postgresql://user@host/database or memory",
            )
        )
    with reworded(place):
        return RDBStorage(f"{scheme}://{rest}", engine_kwargs={"pool_pre_ping": True})


def dispose(database: BaseStorage) -> None:
    """Closes the connections, which also folds SQLite's write-ahead log into the file."""
    from optuna.storages import RDBStorage

    if isinstance(database, RDBStorage):
        database.remove_session()
        database.engine.dispose()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds a file's lock; the system lets go of it when the process dies, however it dies."""
    with reworded(str(path)):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(file, 64, 0).decode(errors="replace").strip()
            raise _second(f"process {owner}" if owner else "another process", str(path)) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


@contextmanager
def advisory(database: BaseStorage, name: str, place: str) -> Iterator[None]:
    """Holds PostgreSQL's advisory lock for a study, for as long as the connection lives."""
    from optuna.storages import RDBStorage
    from sqlalchemy import text

    if not isinstance(database, RDBStorage):
        raise TypeError("only a database on a server has an advisory lock")
    key = int.from_bytes(hashlib.blake2b(f"archdsl/{name}".encode(), digest_size=8).digest(), signed=True)
    with reworded(place):
        connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        got = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar()
    try:
        if not got:
            raise _second("another driver", place)
        yield
    finally:
        connection.invalidate()
        connection.close()


def _second(who: str, place: str) -> DiagnosticError:
    return DiagnosticError(
        Diagnostic(
            "E412",
            f"{who} is working on this study",
            label=f"it holds {place}",
            help="wait until it is done, or stop it, or give this search a folder of its own with --out",
        )
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's notices of every trial, and its warnings about steps that don't meet the end."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


@contextmanager
def reworded(place: str) -> Iterator[None]:
    """Turns errors of a database into E413. Optuna calls most of them an exceeded length."""
    try:
        yield
    except OSError as error:
        raise _unusable(place, error.strerror or str(error)) from None
    except sqlite3.Error as error:
        raise _unusable(place, str(error)) from None
    except Exception as error:
        found = _cause(error)
        if found is None:
            raise
        raise _unusable(place, found) from None


def _cause(error: BaseException) -> str | None:
    """What the database said, or None where the error is none of a database's."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, SQLAlchemyError):
        return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return str(error) if isinstance(error, StorageInternalError) else None


_REASONS = (
    ("locked", "another program keeps the database locked",
     "close whatever has it open (a viewer, a backup), then go on with --resume"),
    ("disk is full", "the disk is full", "make room, then go on with --resume"),
    ("no space left", "the disk is full", "make room, then go on with --resume"),
    ("readonly", "the database can't be written", "make the folder and the file writable"),
    ("read-only", "the place can't be written", "choose another folder with --out"),
    ("permission denied", "the place can't be written", "choose another folder with --out"),
    ("file exists", "the folder can't be made", "choose another one with --out"),
    ("not a directory", "the folder can't be made", "choose another one with --out"),
    ("no such file", "the place can't be written", "choose another folder with --out"),
    ("unable to open", "the database can't be opened", "look whether its folder is there and writable"),
    ("not a database", "the file is not a database", "move it away, or choose another folder with --out"),
    ("malformed", "the database is damaged", "put back a copy of study.db, or start over in another folder"),
    ("disk i/o error", "the disk can't be read or written", "look at the disk, then go on with --resume"),
    ("refused", "the database server can't be reached", "look whether it runs and whether the URL is right"),
)  # fmt: skip


def _unusable(place: str, said: str) -> DiagnosticError:
    for sign, message, advice in _REASONS:
        if sign in said.lower():
            return DiagnosticError(Diagnostic("E413", f"{message}: {place}", notes=(said,), help=advice))
    return DiagnosticError(
        Diagnostic(
            "E413",
            f"the study's storage can't be used: {place}",
            notes=(said,),
            help="what is recorded is safe; mend it, then go on with --resume",
        )
    )


def plain(url: str) -> str:
    """A URL without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
