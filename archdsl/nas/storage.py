"""Where a study is kept: Optuna's tables in SQLite, PostgreSQL or memory, written by one driver at a time.

Every write of `Store` is one commit, and it is durable against a kill of the process when it returns. Errors
of the database come out as diagnostics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.nas.databases import (
    advisory,
    dispose,
    held,
    holds_studies,
    plain,
    quiet,
    reworded,
    server,
    sqlite,
)

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
        with reworded(self.place):
            made = self._storage.create_new_trial(self._study, template_trial=trial)
            return made, self._storage.get_trial_number_from_id(made)

    def note(self, trial: int, key: str, value: Any) -> None:
        """Sets a user attribute of a running trial; `value` is JSON data."""
        with reworded(self.place):
            self._storage.set_trial_user_attr(trial, key, value)

    def end(self, trial: int, state: TrialState, values: Sequence[float] | None) -> None:
        """Closes a running trial."""
        with reworded(self.place):
            self._storage.set_trial_state_values(trial, state, values)

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        with reworded(self.place):
            return self._storage.get_all_trials(self._study, deepcopy=False)

    def id_of(self, number: int) -> int:
        """The id in the database of the trial of that number."""
        with reworded(self.place):
            return self._storage.get_trial_id_from_study_id_trial_number(self._study, number)

    def attributes(self) -> dict[str, Any]:
        """The user attributes of the study."""
        with reworded(self.place):
            return self._storage.get_study_user_attrs(self._study)

    def set(self, key: str, value: Any) -> None:
        """Sets a user attribute of the study; `value` is JSON data."""
        with reworded(self.place):
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
        place = plain(storage) if storage else str(folder / DATABASE)
        with reworded(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(held(folder / LOCK))
        url = storage or f"sqlite:///{folder.resolve() / DATABASE}"
        if url.startswith("sqlite:"):
            path = Path(url.removeprefix("sqlite:///"))
            lock = path.resolve().with_suffix(".lock")  # `LOCK` beside `DATABASE`, whoever's folder it is
            if lock != folder.resolve() / LOCK:
                stack.enter_context(held(lock))
            with reworded(place):
                database = sqlite(path, timeout)
        else:
            database = server(url, place)
            stack.enter_context(advisory(database, name, place))
        stack.callback(dispose, database)
        yield _study(database, name, directions, place)


@contextmanager
def reading(folder: Path, storage: str | None = None, name: str | None = None) -> Iterator[Store]:
    """A study that is there, to be read only: no lock is taken.

    Args:
        folder: of the study.
        storage: URL of its database, where that is not in the folder.
        name: of the study, where the database holds several.

    Raises:
        DiagnosticError: E417 where there is none, E413 where the database can't be read.
    """
    place = plain(storage) if storage else str(folder / DATABASE)
    url = storage or f"sqlite:///{folder.resolve() / DATABASE}"
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:///"))
        if not path.is_file():
            raise nothing(place if storage else str(folder))
        with reworded(place):
            if not holds_studies(path):
                raise nothing(place)
            database = sqlite(path, TIMEOUT)
    else:
        database = server(url, place)
    try:
        with reworded(place):
            names = [s.study_name for s in database.get_all_studies()]
            found = [n for n in names if name is None or n == name]
            if len(found) != 1:
                raise nothing(place, names)
            study = database.get_study_id_from_name(found[0])
        yield Store(database, study, place, new=False)
    finally:
        dispose(database)


def nothing(place: str, names: Sequence[str] = ()) -> DiagnosticError:
    """There is no study, or not just one."""
    return DiagnosticError(
        Diagnostic(
            "E417",
            f"there is no study in {place}",
            notes=(f"the database holds {', '.join(names)}",) if names else (),
            help="give the folder of a search, runs/tiny_cpu for instance",
        )
    )


def _study(database: BaseStorage, name: str, directions: Sequence[str], place: str) -> Store:
    from optuna.study import StudyDirection

    with quiet(), reworded(place):
        try:
            return Store(database, database.get_study_id_from_name(name), place, new=False)
        except KeyError:
            made = database.create_new_study([StudyDirection[d.upper()] for d in directions], name)
            return Store(database, made, place, new=True)
