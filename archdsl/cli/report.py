"""`archdsl report`: the files and the page of a study, made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a study: runs/NAME.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The page; DIR/report.html if left out.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URL", help="Database of the study, where it is not in the folder."
        ),
    ] = None,
) -> None:
    """Write trials.csv, report.html and the winner of a study, and print its front.

    Also while the search is running, and after it was interrupted; the study itself is only read.
    """
    from archdsl.cli.front import outcome
    from archdsl.nas.report import write_report
    from archdsl.nas.stored import read_results

    results = read_results(folder, storage=storage)
    outcome(results, folder, write_report(folder, results, out))
