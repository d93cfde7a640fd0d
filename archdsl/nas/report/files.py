"""The files that a study leaves for people."""

from __future__ import annotations

import shutil
from pathlib import Path

from archdsl.diagnostics import Source
from archdsl.graph import load
from archdsl.graph.architecture import Architecture
from archdsl.nas.report.csv_table import trials_csv
from archdsl.nas.report.page import WEIGHTS, report_html
from archdsl.nas.report.winner import winner_arch, winner_diff
from archdsl.nas.report.words import model_file, run_once
from archdsl.nas.results import Results
from archdsl.weights.files import write_text, written

PAGE = "report.html"
TABLE = "trials.csv"
ARCH = "winner.arch"
DIFF = "winner.diff"


def write_report(folder: Path, results: Results, page: Path | None = None) -> Path:
    """Writes `trials.csv`, `report.html`, and the winner as `winner.arch`, `winner.diff` and, where it was
    tested here, `winner.safetensors`; the architecture of every trial that was trained as
    `trials/trial-N/model.arch`. Each file is written whole or not at all.

    Args:
        folder: of the study.
        page: another place for the page.

    Returns:
        The path of the page.

    Raises:
        DiagnosticError: E508 where a file can't be written.
    """
    for trial in results.trials:
        model = model_file(folder, trial)
        if trial.reports and trial.arch and not model.is_file():
            model.parent.mkdir(parents=True, exist_ok=True)
            write_text(model, trial.arch)
    base = _loaded(results.base)
    winner = None
    if results.winner is not None:
        winner = _loaded(results.winner.trial.arch)
    if results.winner is not None and winner is not None:
        again = run_once(folder, results.winner.trial)
        write_text(folder / ARCH, winner_arch(results, results.winner, winner, again))
        if base is not None:
            write_text(folder / DIFF, winner_diff(base, winner))
        trained = model_file(folder, results.winner.trial).with_name("weights.safetensors")
        if trained.is_file():
            with written(folder / WEIGHTS) as temporary:
                shutil.copyfile(trained, temporary)
    write_text(folder / TABLE, trials_csv(results, folder))
    target = page if page is not None else folder / PAGE
    write_text(target, report_html(results, folder, base, winner))
    return target


def _loaded(text: str) -> Architecture | None:
    """The architecture of a canonical text."""
    return load(Source("study", text)) if text else None
