"""Settings of a search that do not fit each other: mistakes, and what is worth a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archdsl.diagnostics import Diagnostic, Severity, Span
from archdsl.lang import tree as t
from archdsl.nas.evolution import POPULATION
from archdsl.nas.plan import SearchPlan

TPE_SLOW = 5000
"""Trials from which a proposal takes TPE the better part of a second."""


def misfits(
    plan: SearchPlan, size: str, settings: Mapping[str, t.Setting], claims: Span | None
) -> Iterator[Diagnostic]:
    """E403 for a grid without end, E416 for what will hardly be wanted.

    Args:
        plan: of the search.
        size: of its space, in words.
        settings: as written.
        claims: where the first claim stands, if there is one.
    """
    count, trials = plan.space.count, plan.budget.trials

    def odd(name: str, message: str, label: str, help: str) -> Diagnostic:
        span = settings[name].value.span if name in settings else None
        return Diagnostic("E416", message, span, label, (), help, Severity.WARNING)

    if plan.sampler.name == "grid" and count is None:
        yield Diagnostic(
            "E403", "a grid has an end", settings["sampler"].value.span, "the space has none",
            (f"it has {size}",),
            "give the range a `step`, or write `sampler = random`",
        )  # fmt: skip
    if trials is not None and count is not None and 1 < count < trials:
        yield odd(
            "budget", "there are fewer points than trials", f"the space has {count:,}",
            "the search ends when all are tried",
        )  # fmt: skip
    if plan.sampler.name == "grid" and trials is not None and count is not None and trials < count:
        yield odd(
            "budget", "the budget does not cover the grid", f"{trials:,} of {count:,} points",
            f"write `trials({count})`, or `sampler = random` to draw them evenly",
        )  # fmt: skip
    if plan.sampler.name == "tpe" and trials is not None and trials > TPE_SLOW:
        yield odd(
            "budget", f"tpe is slow over {TPE_SLOW:,} trials", "proposals take longer and longer",
            "write `sampler = nsga2`",
        )  # fmt: skip
    population = plan.sampler.population or (POPULATION if plan.sampler.name == "evolution" else None)
    if population is not None and trials is not None and trials <= population:
        grows = plan.sampler.name == "evolution"
        yield odd(
            "sampler", "evolution does not begin" if grows else "nsga2 has one generation only",
            f"the first {population:,} of {trials:,} trials are drawn evenly" if grows
            else f"the budget has {trials:,} trials",
            "make the population smaller, or the budget larger",
        )  # fmt: skip
    if plan.halving is not None and trials is not None and trials < plan.halving.eta:
        yield odd(
            "stop", "there is too little to choose from", f"the budget has {trials:,} trials",
            f"of {plan.halving.eta:g} trials one goes on",
        )  # fmt: skip
    one = plan.rungs[-1] * len(plan.seeds)
    if plan.budget.epochs is not None and plan.budget.epochs < one:
        yield odd(
            "budget", "the budget ends before the first trial", f"a trial takes {one:,} epochs",
            "allow more epochs",
        )  # fmt: skip
    if claims is not None and len(plan.seeds) < 2:
        yield Diagnostic(
            "E416", "a claim needs two seeds", claims, f"`repeat` gives {len(plan.seeds)}",
            ("two are used; so few pairs leave nearly everything undecided",),
            "write `repeat = seeds(5)`", Severity.WARNING,
        )  # fmt: skip
