"""The files that a study leaves for people: written while it runs, and anew at its end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source
from archdsl.graph import load
from archdsl.graph.architecture import Architecture
from archdsl.nas.report.csv_table import trials_csv
from archdsl.nas.report.page import WEIGHTS, report_html
from archdsl.nas.report.winner import winner_arch, winner_diff
from archdsl.nas.report.words import model_file, run_once
from archdsl.nas.results import ClaimResult, Results, Trial
from archdsl.nas.watch import Watcher
from archdsl.weights.files import write_text, written

PAGE = "report.html"
TABLE = "trials.csv"
ARCH = "winner.arch"
DIFF = "winner.diff"
TRAINED = "weights.safetensors"
"""What the test of the winner leaves in the winner's folder."""
PERIOD = 10.0
SHARE = 0.02
"""Of the driver's time that goes into writing while a search runs, at most."""


def write_report(folder: Path, results: Results, page: Path | None = None) -> Path:
    """Writes `trials.csv`, `report.html`, and the winner as `winner.arch`, `winner.diff` and, where it was
    tested here, `winner.safetensors`; the architecture of every trial that was trained as
    `trials/trial-N/model.arch`. Each file is written whole or not at all; an earlier winner's are removed.

    Args:
        folder: of the study.
        page: another place for the page.

    Returns:
        The path of the page.

    Raises:
        DiagnosticError: E508 where a file can't be written.
    """
    base, winner = _loaded(results.base), None
    if results.winner is not None:
        winner = _loaded(results.winner.trial.arch)
    _write_table(folder, results)
    _write_winner(folder, results, base, winner)
    target = page if page is not None else folder / PAGE
    write_text(target, report_html(results, folder, base, winner))
    return target


def _write_table(folder: Path, results: Results) -> None:
    """The table, and the architectures that its commands name."""
    try:
        for trial in results.trials:
            model = model_file(folder, trial)
            if trial.reports and trial.arch and not _says(model, trial.arch):
                model.parent.mkdir(parents=True, exist_ok=True)
                unfinished = model.with_suffix(".tmp")
                unfinished.write_text(trial.arch, encoding="utf-8")
                unfinished.replace(model)
    except OSError as error:
        raise DiagnosticError(
            Diagnostic(
                "E508",
                f"cannot write {error.filename or folder}",
                notes=(error.strerror or str(error),),
                help="check that the folder may be written to and that the disk has room",
            )
        ) from error
    write_text(folder / TABLE, trials_csv(results, folder))


def _says(path: Path, text: str) -> bool:
    """Whether a file holds this text: one of an earlier study in the same folder may hold another."""
    try:
        return path.read_bytes() == text.encode()
    except FileNotFoundError:
        return False


def _write_winner(
    folder: Path, results: Results, base: Architecture | None, winner: Architecture | None
) -> None:
    texts = {ARCH: "", DIFF: ""}
    trained = None
    if results.winner is not None and winner is not None:
        trial = results.winner.trial
        texts[ARCH] = winner_arch(results, results.winner, winner, run_once(folder, trial))
        texts[DIFF] = winner_diff(base, winner) if base is not None else ""
        trained = model_file(folder, trial).with_name(TRAINED) if results.winner.test else None
    for name, text in texts.items():
        if text:
            write_text(folder / name, text)
        else:
            (folder / name).unlink(missing_ok=True)
    if trained is not None and trained.is_file():
        with written(folder / WEIGHTS) as temporary:
            shutil.copyfile(trained, temporary)
    else:
        (folder / WEIGHTS).unlink(missing_ok=True)


def _loaded(text: str) -> Architecture | None:
    """The architecture of a canonical text; None where this version can't read what another one wrote."""
    try:
        return load(Source("study", text)) if text else None
    except DiagnosticError:
        return None


class Files(Watcher):
    """A watcher that keeps page and table fresh while a search runs, and writes all files at its end.

    Args:
        folder: of the study, as commands are to write it.
        period: seconds between two writings, at least.
    """

    def __init__(self, folder: Path, period: float = PERIOD) -> None:
        self._folder = folder
        self._period = period
        self._results: Callable[[], Results] | None = None
        self._due = time.monotonic() + period
        self.problem: DiagnosticError | None = None
        """Why the files could not be written at the end."""

    def follow(self, results: Callable[[], Results]) -> None:
        """From now on the files say what this returns."""
        self._results = results

    def changed(self, trial: Trial) -> None:
        """Writes again, if it is time."""
        self._refresh()

    def claimed(self, claim: ClaimResult) -> None:
        """Writes again, if it is time."""
        self._refresh()

    def ended(self, results: Results) -> None:
        """Writes everything."""
        try:
            write_report(self._folder, results)
        except DiagnosticError as error:
            self.problem = error

    def _refresh(self) -> None:
        began = time.monotonic()
        if self._results is None or began < self._due:
            return
        with suppress(DiagnosticError):  # told at the end, if it lasts
            write_report(self._folder, self._results())
        took = time.monotonic() - began
        self._due = began + max(self._period, took / SHARE)
