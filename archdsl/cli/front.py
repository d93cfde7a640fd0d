"""What a search found, as tables on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from math import isfinite
from pathlib import Path

import typer
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from archdsl.cli.tables import console
from archdsl.nas.plan import Objective
from archdsl.nas.report.words import changes_text, difference_text, value_text
from archdsl.nas.results import ClaimResult, Results, State, Trial, Verdict

SHOWN = 12
"""Rows of a front, at most."""
_COLOURS = {Verdict.SUPPORTED: "green", Verdict.CONTRADICTED: "red", Verdict.UNDECIDED: "yellow"}


NARROW = 40
"""Columns of a terminal that a table leaves to the changes, at least; with fewer they get a line below."""


class TrialTable:
    """A row for each trial: its number, its objectives, what was changed. To be printed by rich.

    Where the terminal is too narrow for columns, each trial is a paragraph.
    """

    def __init__(self, title: str, trials: Iterable[Trial], objectives: Iterable[Objective]) -> None:
        self._title = title
        self._trials = tuple(trials)
        self._names = [o.text for o in objectives]
        if "params" not in self._names:
            self._names.append("params")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [[self._cell(t, n) for n in self._names] for t in self._trials]
        widths = [max(map(len, column)) + 3 for column in zip(self._names, *rows, strict=True)]
        changes = max((len(changes_text(t)) for t in self._trials), default=0)
        left = options.max_width - sum(widths) - 10
        yield self._columns(rows) if left >= min(changes, NARROW) else self._paragraphs(rows)

    def _columns(self, rows: list[list[str]]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title_justify="left")
        table.title = self._title
        table.add_column("trial", justify="right", style="cyan", no_wrap=True)
        for name in self._names:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("changes", overflow="fold")
        for trial, cells in zip(self._trials, rows, strict=True):
            table.add_row(str(trial.number), *cells, escape(changes_text(trial)))
        return table

    def _paragraphs(self, rows: list[list[str]]) -> Group:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(justify="right", style="cyan", no_wrap=True)
        grid.add_column(overflow="fold")
        for trial, cells in zip(self._trials, rows, strict=True):
            found = ", ".join(f"{n} {cell}" for n, cell in zip(self._names, cells, strict=True))
            grid.add_row(str(trial.number), escape(f"{found}\n{changes_text(trial)}"))
        return Group(Text(self._title, style="table.title"), grid)

    def _cell(self, trial: Trial, name: str) -> str:
        return value_text(name, trial.values[name]) if name in trial.values else "-"


def front_table(results: Results) -> TrialTable:
    """The front, best in the first objective first; its first rows where it is long."""
    by_number = {t.number: t for t in results.trials}
    more = len(results.front) - SHOWN
    title = f"the front: {len(results.front)} of {_trained(results)} trials that were trained"
    if more > 0:
        title += f", the first {SHOWN}"
    return TrialTable(title, [by_number[n] for n in results.front[:SHOWN]], results.objectives)


def winner_text(results: Results) -> str:
    """The winner in a sentence; the test beside the validation."""
    winner = results.winner
    if winner is None:
        return "no trial was completed, so there is no winner"
    found = [f"{o.text} {value_text(o.text, winner.trial.values[o.text])}" for o in results.objectives]
    name = "winner" if results.finished else "not finished; best so far"
    text = f"{name}: trial {winner.trial.number}, {', '.join(found)} on validation"
    if winner.test:
        told = ", ".join(f"{name} {value_text(name, value)}" for name, value in winner.test.items())
        text += f"; on the test images, looked at once: {told}"
    return text


def claims_table(claims: Iterable[ClaimResult]) -> Table:
    """A row for each comparison, with its interval and what could have been found."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title_justify="left")
    for heading, justify in (("claim", "left"), ("verdict", "left"), ("difference", "right"),
                             ("interval", "right"), ("detectable", "right")):  # fmt: skip
        table.add_column(heading, justify="left" if justify == "left" else "right", overflow="fold")
    for claim in claims:
        colour = _COLOURS[claim.verdict]
        table.add_row(escape(claim.plan.finding), f"[{colour}]{claim.verdict.value}[/{colour}]", "", "", "")
        for c, planned in zip(claim.comparisons, claim.plan.comparisons, strict=True):
            known = not c.reason
            metric = planned.left.metric
            table.add_row(
                f"  {escape(c.text)}",
                "" if known else escape(c.reason),
                difference_text(metric, c.mean) if known else "",
                f"{difference_text(metric, c.low)} .. {difference_text(metric, c.high)}" if known else "",
                value_text(metric, c.detectable) if isfinite(c.detectable) else "not known",
            )
    return table


def counts_text(trials: Iterable[Trial]) -> str:
    """`9 complete, 3 stopped, 1 failed`."""
    seen: dict[State, int] = {}
    for trial in trials:
        seen[trial.state] = seen.get(trial.state, 0) + 1
    return ", ".join(f"{seen[s]} {s.value}" for s in State if s in seen) or "no trials yet"


def outcome(results: Results, folder: Path, page: Path) -> None:
    """Prints what was found, and where its files lie.

    Args:
        folder: of the study.
        page: the report.
    """
    screen = console()
    if results.front:
        screen.print(front_table(results))
    if results.claims:
        screen.print(claims_table(results.claims))
    if results.trials:
        typer.echo(f"{counts_text(results.trials)}; {results.conditions.get('seconds', '?')} s")
        typer.echo(winner_text(results))
    if page.is_file():
        typer.echo(f"report: {page}")
    if (folder / "winner.arch").is_file():
        command = ["archdsl", "build", str(folder / "winner.arch")]
        weights = folder / "winner.safetensors"
        command += ["--weights", str(weights)] if weights.is_file() else []
        typer.echo(f"build it: {shlex.join(command)}")


def _trained(results: Results) -> int:
    return sum(t.state is not State.REFUSED for t in results.trials)
