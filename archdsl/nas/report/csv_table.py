"""`trials.csv`: a row for every trial."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from archdsl.nas.points import to_line
from archdsl.nas.report.words import run_once, varied
from archdsl.nas.results import Results

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def trials_csv(results: Results, folder: Path) -> str:
    """The table as CSV with a header, lines ended by a newline.

    Columns: `number`, `state`, `reason`, every objective and every other value that was reported, `params`,
    `macs`, `epochs`, `seconds`, `digest`, `executor`, one column `vary PATH` for each varied path, `point`
    (see `archdsl.nas.points`), `task`, and `run_once`, the command that reproduces the row. Text that a
    spreadsheet would take for a formula gets an apostrophe in front.

    Args:
        folder: the study's, as the commands are to write it.
    """
    values = _values(results)
    paths = varied(results)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["number", "state", "reason", *values, "params", "macs", "epochs", "seconds", "digest", "executor"]
        + [safe(f"vary {path}") for path in paths]
        + ["point", "task", "run_once"]
    )
    for trial in results.trials:
        writer.writerow(
            [
                trial.number,
                trial.state.value,
                safe(trial.reason),
                *(_number(trial.values.get(name)) for name in values),
                trial.params or "",
                trial.macs or "",
                trial.epochs,
                f"{trial.seconds:.3f}",
                trial.digest,
                safe(trial.executor),
                *(safe(trial.changes.get(path, "")) for path in paths),
                to_line(trial.point),
                safe(trial.task),
                safe(run_once(folder, trial)),
            ]
        )
    return out.getvalue()


def safe(text: str) -> str:
    """The text on one line, with an apostrophe in front where a spreadsheet would take it for a formula;
    numbers stay as they are."""
    line = " ".join(text.splitlines()).replace("\0", "")
    if not line.startswith(_FORMULA):
        return line
    try:
        float(line)
    except ValueError:
        return f"'{line}"
    return line


def _values(results: Results) -> list[str]:
    """Objectives in order, then further values by name; params and macs have columns of their own."""
    names = [o.text for o in results.objectives]
    names += sorted({name for t in results.trials for name in t.values})
    return [name for name in dict.fromkeys(names) if name not in ("params", "macs")]


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)
