"""`archdsl bench sampler`: a search as it is against random search without early stopping, at equal cost."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from archdsl.cli.messages import mistake

if TYPE_CHECKING:
    from archdsl.nas.plan import SearchPlan
    from archdsl.nas.results import Results, Winner

SEARCH = "the search"
RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One search, run to its end.

    Args:
        who: `the search`, or `random`.
        seed: of the sampler.
        trials: that were trained.
        complete: that were trained to the end.
        epochs: trained in all.
        validation: of the winner, that it was chosen by.
        test: of the winner, taken once.
        winner: what it changes in the base.
        course: in the order of the trials: epochs spent, and the best validation score of a complete one.
    """

    who: str
    seed: int
    trials: int
    complete: int
    epochs: int
    validation: float
    test: float
    winner: Mapping[str, str]
    course: tuple[tuple[int, float], ...]


def sampler(
    search: Annotated[str, typer.Argument(metavar="SEARCH", help="A .search file, or a shipped search.")],
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Searches of each kind.")] = 3,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Trials at a time; as many as there are cores.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the results as JSON.")
    ] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Draw the results.")] = None,
) -> None:
    """Whether a search beats random search that trains as many epochs.

    Runs the search with so many seeds of its sampler. Then, for each, random search in the same space without
    early stopping, until it has trained as many epochs. Winners are chosen on validation and tested once.
    """
    from rich import box
    from rich.table import Table

    from archdsl.cli.bench.results import write
    from archdsl.cli.machine import conditions
    from archdsl.cli.tables import console
    from archdsl.nas.read import read_search

    plan = read_search(search)
    score = _score(plan)
    at_a_time = workers or os.cpu_count() or 1
    outcomes: list[Outcome] = []
    with TemporaryDirectory(prefix="archdsl-bench-") as scratch:
        for seed in range(seeds):
            for who in (SEARCH, RANDOM):
                settings = {"sampler": _text(plan, seed)} if who == SEARCH else _random(outcomes[-1])
                typer.echo(f"{who}, seed {seed}: {', '.join(map(' = '.join, settings.items()))}", err=True)
                varied = replace(read_search(search, settings), claims=())
                outcomes.append(_run(varied, who, seed, Path(scratch) / str(len(outcomes)), at_a_time, score))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("searched by", style="cyan")
    for heading in ("seed", "trials", "complete", "epochs", "validation", "test"):
        table.add_column(heading, justify="right")
    for o in sorted(outcomes, key=lambda o: o.who != SEARCH):
        counts = (o.seed, o.trials, o.complete, o.epochs)
        table.add_row(o.who, *map(str, counts), f"{o.validation:.4f}", f"{o.test:.4f}")
    console().print(table)
    said = _said(outcomes, score)
    typer.echo(said)
    results = {
        "what": f"winners by {score}, chosen on validation and tested once: the search as it is, and random "
        "search without early stopping that begins trials until it has trained as many epochs, and finishes "
        "them",
        **conditions("torch", "timm", "optuna", "scikit-learn"),
        "search": plan.source.text,
        "workers": at_a_time,
        "outcomes": [
            {
                "who": o.who, "seed": o.seed, "trials": o.trials, "complete": o.complete, "epochs": o.epochs,
                "validation": o.validation, "test": o.test, "winner": dict(o.winner),
            }
            for o in outcomes
        ],
        "said": said,
    }  # fmt: skip
    write(results, out)
    if svg is not None:
        from archdsl.cli.bench.chart import Line, draw
        from archdsl.weights.files import write_text

        svg.parent.mkdir(parents=True, exist_ok=True)
        write_text(svg, draw(plan.name, score, [Line(o.who, o.course, o.epochs, o.test) for o in outcomes]))
        typer.echo(f"wrote {svg}")


def _score(plan: SearchPlan) -> str:
    """The score that decides the winner."""
    from archdsl.nas.plan import deciding

    metric = deciding(plan.objectives).metric
    if metric in plan.task.scores:
        return metric
    raise mistake("E501", f"`{plan.name}` has no score among its objectives to compare winners by")


def _text(plan: SearchPlan, seed: int) -> str:
    """Its sampler with another seed."""
    s = plan.sampler
    more = {"population": s.population, "tournament": s.tournament, "crossover": s.crossover or None}
    given = "".join(f", {name} = {value}" for name, value in more.items() if value is not None)
    return s.name if s.name == "grid" else f"{s.name}(seed = {seed}{given})"


def _random(beside: Outcome) -> dict[str, str]:
    """The settings of a random search that costs as much."""
    return {
        "sampler": f"random(seed = {beside.seed})",
        "stop": "none",
        "budget": f"epochs({beside.epochs})",
    }


def _run(plan: SearchPlan, who: str, seed: int, folder: Path, workers: int, score: str) -> Outcome:
    from archdsl.nas.board import Resources
    from archdsl.nas.executors import find
    from archdsl.nas.study import Study

    with Study.open(plan, folder, workers=workers) as study:
        find("local").run(study, Resources(workers=workers), folder)
        results = study.results()
    if results.winner is None or score not in results.winner.test:
        raise mistake("E501", f"{who} with seed {seed} has found no winner")
    return _outcome(results, results.winner, who, seed, len(plan.seeds), score)


def _outcome(results: Results, winner: Winner, who: str, seed: int, runs: int, score: str) -> Outcome:
    """What is told of a study; `runs` stand behind every trial."""
    from archdsl.nas.results import State

    course: list[tuple[int, float]] = []
    spent = 0
    for trial in results.trials:
        spent += trial.epochs * runs
        value = trial.values.get(score)
        if trial.state is State.COMPLETE and value is not None and (not course or value > course[-1][1]):
            course.append((spent, value))
    trained = [t for t in results.trials if t.epochs]
    complete = sum(t.state is State.COMPLETE for t in trained)
    return Outcome(
        who, seed, len(trained), complete, spent, winner.trial.values[score], winner.test[score],
        winner.trial.changes, tuple(course),
    )  # fmt: skip


def _said(outcomes: Sequence[Outcome], score: str) -> str:
    """The result in sentences, with the interval of the difference where there are seeds enough."""
    from archdsl.nas.claims import LEVEL, interval

    by = {who: [o for o in outcomes if o.who == who] for who in (SEARCH, RANDOM)}
    test = [statistics.fmean(o.test for o in found) for found in by.values()]
    validation = [statistics.fmean(o.validation for o in found) for found in by.values()]
    epochs = [sum(o.epochs for o in found) for found in by.values()]
    pairs = [a.test - b.test for a, b in zip(*by.values(), strict=True)]
    text = (
        f"test {score}, mean of {len(pairs)}: {test[0]:.4f} by the search in {epochs[0]} epochs, "
        f"{test[1]:.4f} by random search in {epochs[1]} "
        f"(validation {validation[0]:.4f} and {validation[1]:.4f})"
    )
    if len(pairs) < 2 or len(set(pairs)) < 2:
        return text
    low, high = interval(pairs, LEVEL)
    verdict = (
        "better" if low > 0 else "worse" if high < 0 else "no difference that so few searches could show"
    )
    difference = statistics.fmean(pairs)
    return f"{text}; difference {difference:+.4f}, {LEVEL:.0%} interval {low:+.4f} to {high:+.4f}: {verdict}"
