"""What a search makes large or small: `maximize` and `minimize`, and the tables that latencies come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.graph.block_times import BlockTimes, read_block_times
from archdsl.graph.elaboration.report import Report, mistake
from archdsl.graph.variation import Sight
from archdsl.lang import tree as t
from archdsl.nas.candidates import VariedCandidates, lacking
from archdsl.nas.choosers import Drawn
from archdsl.nas.forms import unwrapped
from archdsl.nas.plan import COUNTED, MEASURED, Objective
from archdsl.nas.settings import Values, listed
from archdsl.nas.space import Candidate
from archdsl.tasks import Task

MAX_BATCH = 65_536
DEFAULT_BATCH = 64
PREDICTED = "latency"
"""What can be told from a table of block times."""
LOOKED_AT = 16
"""Candidates whose blocks are looked for in a table."""


def read_objectives(
    settings: Sequence[t.Setting], sight: Sight, task: Task | None, report: Report
) -> tuple[Objective, ...]:
    """What `maximize` and `minimize` name, in the order of the text."""
    found: dict[str, Objective] = {}
    for setting in settings:
        for expr in listed(setting.value):
            with report.guard():
                objective = read_objective(Values(setting.name, sight), expr, task)
                if objective.text in found:
                    raise mistake(
                        "E403", f"`{objective.text}` is an objective twice", expr.span, "named before",
                        help="leave one out",
                    )  # fmt: skip
                found[objective.text] = objective
        if not listed(setting.value):
            wrong = Values(setting.name, sight).wrong("the list is empty", setting.value.span, "no metric")
            report.add(*wrong.diagnostics)
    return tuple(found.values())


def read_objective(values: Values, expr: t.Expr, task: Task | None) -> Objective:
    """`accuracy`, `latency(batch = 64)`, `latency(batch = 1, table = "cpu.json")`.

    Raises:
        SpecError, DiagnosticError: E403, E514.
    """
    maximize = values.name == "maximize"
    scores = type(task).scores if task is not None else ("accuracy",)
    name, call = values.call(expr, (*scores, *COUNTED, *MEASURED))
    if name not in MEASURED:
        values.arguments(call)
        return Objective(name, maximize)
    given = values.arguments(call, "batch", *(("table",) if name == PREDICTED else ()))
    batch = values.whole(given["batch"], 1, MAX_BATCH, "a batch") if "batch" in given else DEFAULT_BATCH
    if "table" not in given:
        return Objective(name, maximize, batch)
    text = unwrapped(given["table"])
    if not isinstance(text, t.String):
        raise values.wrong(
            "a table is a file", text.span, "no text", 'write `latency(batch = 1, table = "cpu.json")`'
        )
    return Objective(name, maximize, batch, text.value, _block_times(values, text))


def _block_times(values: Values, text: t.String) -> BlockTimes:
    """The table of a file beside the search, or below.

    Raises:
        SpecError: E514.
    """
    unit = values.sight.unit
    root = unit.root.resolve()
    try:
        path = (root / text.value).resolve()
        if not path.is_relative_to(root):
            raise mistake(
                "E514", "a table lies beside the search, or below", text.span, "leaves its folder",
                help="copy the table into the folder of the search",
            )  # fmt: skip
        return read_block_times(path)
    except DiagnosticError as error:
        (d,) = error.diagnostics
        raise mistake("E514", d.message, text.span, "no such table", notes=d.notes, help=d.help) from None
    except (OSError, ValueError) as error:
        raise mistake("E514", "a table is a file", text.span, str(error), help="check the path") from None


def without_times(
    candidates: VariedCandidates, settings: Mapping[str, t.Setting], path: Path
) -> Iterator[Diagnostic]:
    """E514 for every table that lacks blocks of some candidates.

    Args:
        candidates: of the search.
        settings: of the search, by name.
        path: of its file.
    """
    random = Random(0)
    points = [
        candidates.space.draw(Drawn(random, {})) for _ in range(LOOKED_AT if candidates.predicted else 0)
    ]
    found = [c for p in points if isinstance(c := candidates.whatever_required(p), Candidate)]
    for objective in candidates.predicted:
        lacks = [why for c in found if (why := lacking(objective, c.architecture)) is not None]
        if lacks:
            setting = settings["maximize" if objective.maximize else "minimize"]
            command = f"archdsl bench blocks {path.name} --table {objective.table} --batch {objective.batch}"
            yield Diagnostic(
                "E514", f"{objective.table} lacks blocks of this search", setting.value.span,
                f"in {len(lacks)} of {len(found)} candidates", (lacks[0],), f"measure them: `{command}`",
            )  # fmt: skip
