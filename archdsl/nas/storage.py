"""Where a study is kept: Optuna's tables in SQLite, PostgreSQL or memory, written by one driver at a time.

Every write of `Store` is one commit, and it is durable against a kill of the process when it returns. Errors
of the database come out as diagnostics.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archdsl.diagnostics import Diagnostic, DiagnosticError, need

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, TrialState

MEMORY = "memory"
DATABASE = "study.db"
LOCK = "study.lock"
TIMEOUT = 60.0
"""Seconds to wait for a database that another program keeps locked."""


class Store:
    """One study in Optuna's storage.

    Args:
        storage: Optuna's.
        study: its number there.
        place: for messages, a path or a URL without its password.
        new: whether this call made it.
    """

    def __init__(self, storage: BaseStorage, study: int, place: str, new: bool) -> None:
        self._storage = storage
        self._study = study
        self.place = place
        self.new = new

    def create(self, trial: FrozenTrial) -> tuple[int, int]:
        """Adds a trial with all it has, its state included. Returns its id in the database and its number."""
        with _reworded(self.place):
            made = self._storage.create_new_trial(self._study, template_trial=trial)
            return made, self._storage.get_trial_number_from_id(made)

    def note(self, trial: int, key: str, value: Any) -> None:
        """Sets a user attribute of a running trial; `value` is JSON data."""
        with _reworded(self.place):
            self._storage.set_trial_user_attr(trial, key, value)

    def end(self, trial: int, state: TrialState, values: Sequence[float] | None) -> None:
        """Closes a running trial."""
        with _reworded(self.place):
            self._storage.set_trial_state_values(trial, state, values)

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        with _reworded(self.place):
            return self._storage.get_all_trials(self._study, deepcopy=False)

    def id_of(self, number: int) -> int:
        """The id in the database of the trial of that number."""
        with _reworded(self.place):
            return self._storage.get_trial_id_from_study_id_trial_number(self._study, number)

    def attributes(self) -> dict[str, Any]:
        """The user attributes of the study."""
        with _reworded(self.place):
            return self._storage.get_study_user_attrs(self._study)

    def set(self, key: str, value: Any) -> None:
        """Sets a user attribute of the study; `value` is JSON data."""
        with _reworded(self.place):
            self._storage.set_study_user_attr(self._study, key, value)


@contextmanager
def opened(
    folder: Path, name: str, directions: Sequence[str], storage: str | None = None, timeout: float = TIMEOUT
) -> Iterator[Store]:
    """The study of that name, made where there is none, held against other drivers until the block ends.

    Args:
        folder: of the study; holds `study.lock` and, without `storage`, `study.db`.
        name: of the study in the database.
        directions: `maximize` or `minimize`, one for each objective.
        storage: None for SQLite in the folder, `memory`, or the URL of a database (`sqlite:///...`,
            `postgresql://...`).
        timeout: seconds to wait for a lock on the database.

    Raises:
        DiagnosticError: E412 where another driver holds it, E413 where the database can't be used, E506
            where a driver for it is missing.
    """
    with ExitStack() as stack:
        if storage == MEMORY:
            from optuna.storages import InMemoryStorage

            yield _study(InMemoryStorage(), name, directions, "memory")
            return
        place = _plain(storage) if storage else str(folder / DATABASE)
        with _reworded(place):
            folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(_held(folder / LOCK))
        url = storage or f"sqlite:///{folder.resolve() / DATABASE}"
        if url.startswith("sqlite:"):
            path = Path(url.removeprefix("sqlite:///"))
            if path.resolve().parent != folder.resolve():
                stack.enter_context(_held(path.with_name(path.name + ".lock")))
            with _reworded(place):
                database = _sqlite(path, timeout)
        else:
            database = _server(url, place)
            stack.enter_context(_advisory(database, name, place))
        stack.callback(_dispose, database)
        yield _study(database, name, directions, place)


def exists(folder: Path) -> bool:
    """Whether a study's database lies in the folder."""
    return (folder / DATABASE).is_file()


def _study(database: BaseStorage, name: str, directions: Sequence[str], place: str) -> Store:
    from optuna.study import StudyDirection

    with quiet(), _reworded(place):
        try:
            return Store(database, database.get_study_id_from_name(name), place, new=False)
        except KeyError:
            made = database.create_new_study([StudyDirection[d.upper()] for d in directions], name)
            return Store(database, made, place, new=True)


def _sqlite(path: Path, timeout: float) -> BaseStorage:
    """Readers don't block the writer (WAL); a commit survives the death of the process, a power cut may take
    the last ones (synchronous=NORMAL)."""
    from optuna.storages import RDBStorage

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=timeout, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    return RDBStorage(f"sqlite:///{path}", engine_kwargs={"creator": connect})


def _server(url: str, place: str) -> BaseStorage:
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
    with _reworded(place):
        return RDBStorage(f"{scheme}://{rest}", engine_kwargs={"pool_pre_ping": True})


def _dispose(database: BaseStorage) -> None:
    """Closes the connections, which also folds SQLite's write-ahead log into the file."""
    from optuna.storages import RDBStorage

    if isinstance(database, RDBStorage):
        database.remove_session()
        database.engine.dispose()


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Holds a file's lock; the system lets go of it when the process dies, however it dies."""
    with _reworded(str(path)):
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
def _advisory(database: BaseStorage, name: str, place: str) -> Iterator[None]:
    """Holds PostgreSQL's advisory lock for a study, for as long as the connection lives."""
    from optuna.storages import RDBStorage
    from sqlalchemy import text

    if not isinstance(database, RDBStorage):
        raise TypeError("only a database on a server has an advisory lock")
    key = int.from_bytes(hashlib.blake2b(f"archdsl/{name}".encode(), digest_size=8).digest(), signed=True)
    with _reworded(place):
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
def _reworded(place: str) -> Iterator[None]:
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
    ("unable to open", "the database can't be opened", "look whether its folder is there and writable"),
    ("not a database", "the file is not a database", "move it away, or choose another folder with --out"),
    ("malformed", "the database is damaged", "put back a copy of study.db, or start over in another folder"),
    ("disk i/o error", "the disk can't be read or written", "look at the disk, then go on with --resume"),
    ("refused", "the database server can't be reached", "look whether it runs and whether the URL is right"),
)  # fmt: skip


def _unusable(place: str, said: str) -> DiagnosticError:
    for sign, message, advice in _REASONS:
        if sign in said.lower():
            return DiagnosticError(Diagnostic("E413", message, label=place, notes=(said,), help=advice))
    return DiagnosticError(
        Diagnostic(
            "E413",
            "the study's storage can't be used",
            label=place,
            notes=(said,),
            help="what is recorded is safe; mend it, then go on with --resume",
        )
    )


def _plain(url: str) -> str:
    """A URL without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
