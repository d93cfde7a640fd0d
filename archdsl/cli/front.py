"""What a search found, as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from archdsl.cli.tables import console
from archdsl.nas.plan import Objective
from archdsl.nas.report.words import changes_text, value_text
from archdsl.nas.results import ClaimResult, Results, State, Trial, Verdict

SHOWN = 12
"""Rows of a front, at most."""
_COLOURS = {Verdict.SUPPORTED: "green", Verdict.CONTRADICTED: "red", Verdict.UNDECIDED: "yellow"}


def trial_table(title: str, trials: Iterable[Trial], objectives: Iterable[Objective]) -> Table:
    """A row for each trial: its number, its objectives, what was changed."""
    names = [o.text for o in objectives]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column("trial", justify="right", style="cyan")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    if "params" not in names:
        table.add_column("params", justify="right", no_wrap=True)
    table.add_column("changes", overflow="fold")
    for trial in trials:
        cells = [value_text(n, trial.values[n]) if n in trial.values else "-" for n in names]
        if "params" not in names:
            cells.append(f"{trial.params:,}")
        table.add_row(str(trial.number), *cells, escape(changes_text(trial)))
    return table


def front_table(results: Results) -> Table:
    """The front, best in the first objective first; its first rows where it is long."""
    by_number = {t.number: t for t in results.trials}
    more = len(results.front) - SHOWN
    title = f"the front: {len(results.front)} of {_trained(results)} trials that were trained"
    if more > 0:
        title += f", the first {SHOWN}"
    return trial_table(title, [by_number[n] for n in results.front[:SHOWN]], results.objectives)


def winner_text(results: Results) -> str:
    """The winner in a sentence; the test beside the validation."""
    winner = results.winner
    if winner is None:
        return "no trial was completed, so there is no winner"
    found = [f"{o.text} {value_text(o.text, winner.trial.values[o.text])}" for o in results.objectives]
    text = f"winner: trial {winner.trial.number}, {', '.join(found)} on validation"
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
        for c in claim.comparisons:
            known = not c.reason
            table.add_row(
                f"  {escape(c.text)}",
                "" if known else escape(c.reason),
                f"{c.mean:+.4f}" if known else "",
                f"{c.low:+.4f} .. {c.high:+.4f}" if known else "",
                f"{c.detectable:.4f}",
            )
    return table


def counts_text(trials: Iterable[Trial]) -> str:
    """`9 complete, 3 stopped, 1 failed`."""
    seen: dict[State, int] = {}
    for trial in trials:
        seen[trial.state] = seen.get(trial.state, 0) + 1
    return ", ".join(f"{seen[s]} {s.value}" for s in State if s in seen) or "no trials yet"


def outcome(results: Results, folder: Path, page: Path | None = None) -> None:
    """Writes the files of a study and prints what was found.

    Args:
        folder: of the study.
        page: another place for the page.
    """
    from archdsl.nas.report import write_report

    written = write_report(folder, results, page)
    screen = console()
    if results.front:
        screen.print(front_table(results))
    if results.claims:
        screen.print(claims_table(results.claims))
    if results.trials:
        typer.echo(f"{counts_text(results.trials)}; {results.conditions.get('seconds', '?')} s")
        typer.echo(winner_text(results))
    typer.echo(f"report: {written}")
    if results.winner is not None:
        typer.echo(f"build the winner: archdsl build {folder / 'winner.arch'}")


def _trained(results: Results) -> int:
    return sum(t.state is not State.REFUSED for t in results.trials)
