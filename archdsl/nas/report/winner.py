"""The winner as files: a spec that stands by itself, and how it differs from what was varied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from difflib import unified_diff

from archdsl.diagnostics import Source
from archdsl.graph.architecture import Architecture
from archdsl.lang.formatter import format_source
from archdsl.nas.report.words import values_text
from archdsl.nas.results import Results, State, Winner


def winner_arch(results: Results, winner: Winner, architecture: Architecture, run_once: str = "") -> str:
    """The winner as a formatted `.arch` file, with where it comes from in comments.

    Args:
        architecture: the winner's.
        run_once: the command that trains it again.
    """
    name = f"{results.name}_winner"
    lines = [*_head(results, winner)]
    if run_once:
        lines += ["Train it again:", f"  {run_once}"]
    comment = "".join(f"# {_printable(line)}\n" for line in lines)
    text = f"{comment}\n{replace(architecture, name=name).to_source()}"
    return format_source(Source("winner.arch", text))


def winner_diff(base: Architecture, winner: Architecture) -> str:
    """A unified diff of the canonical texts, primitives only; empty where both are the same."""
    lines = unified_diff(
        base.to_source().splitlines(keepends=True),
        replace(winner, name=base.name).to_source().splitlines(keepends=True),
        fromfile=f"{base.name} (as the search writes it)",
        tofile="winner.arch",
        n=2,
    )
    return "".join(lines)


def _head(results: Results, winner: Winner) -> Iterator[str]:
    trial = winner.trial
    trained = sum(t.state is not State.REFUSED for t in results.trials)
    unfinished = "" if results.finished else ", which is not finished"
    yield f"Winner of the search {results.name}{unfinished}: trial {trial.number}, of {trained} evaluated."
    for path, text in trial.changes.items():
        yield f"  {path} = {text}"
    seeds = len(trial.reports[-1].seeds) if trial.reports else 0
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    found = values_text(trial.values, results.objectives)
    yield f"Validation, {trial.epochs} epochs{mean}: {found}."
    if winner.test:
        found = values_text(winner.test, results.objectives)
        yield f"Test, taken once, after the choice: {found}."
    yield f"Digest {trial.digest}."


def _printable(text: str) -> str:
    """The text as one line: what is not printable could end a comment."""
    return "".join(c if c.isprintable() else " " for c in text)
