"""The settings of a search: `sampler`, `stop`, `budget` and their like, from values of the language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from archdsl.diagnostics import Span, did_you_mean
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.variation import Sight
from archdsl.lang import tree as t
from archdsl.lang.to_text import number_text
from archdsl.nas.evolution import POPULATION
from archdsl.nas.forms import parts_of, unwrapped
from archdsl.nas.plan import Budget, Halving, Limit, Sampler
from archdsl.tasks import Task

SETTINGS = (
    "arch", "task", "maximize", "minimize", "sampler", "stop", "repeat", "budget", "limit", "synchronous",
)  # fmt: skip
SAMPLERS: Mapping[str, tuple[str, ...]] = {
    "random": ("seed",),
    "grid": (),
    "tpe": ("seed",),
    "nsga2": ("seed", "population"),
    "evolution": ("seed", "population", "tournament", "crossover"),
}
"""What each takes."""
MAX_SEED = 2**32 - 1
MAX_SEEDS = 1000
MAX_COUNT = 10**9
LEAST_MEMORY = 64 * 10**6
"""A process that trains does not start in less."""
_EXAMPLES = {
    "sampler": "sampler = tpe(seed = 0)",
    "stop": "stop = halving(rungs = [3, 9, 20], eta = 3)",
    "repeat": "repeat = seeds(3)",
    "budget": "budget = trials(100)",
    "limit": "limit = time(10min)",
    "maximize": "maximize = accuracy",
    "minimize": "minimize = latency(batch = 64)",
    "synchronous": "synchronous = on",
}


@dataclass(frozen=True, slots=True)
class Values:
    """Reads values of one setting.

    Args:
        name: of the setting.
        sight: what they see.
    """

    name: str
    sight: Sight

    def wrong(self, message: str, span: Span, label: str, help: str = "") -> SpecError:
        """E403."""
        return mistake("E403", message, span, label, help=help or f"write `{_EXAMPLES[self.name]}`")

    def call(self, expr: t.Expr, words: Sequence[str]) -> tuple[str, t.Call | t.Name]:
        """A name of a list, called or not."""
        expr = unwrapped(expr)
        callee = expr.callee if isinstance(expr, t.Call) else expr
        if not isinstance(callee, t.Name) or not isinstance(expr, t.Call | t.Name):
            raise self.wrong(f"`{self.name}` takes no such value", expr.span, f"expected {_or(words)}")
        if callee.id not in words:
            raise self.wrong(
                f"`{self.name}` has no choice `{callee.id}`", callee.span, f"expected {_or(words)}",
                did_you_mean(callee.id, words),
            )  # fmt: skip
        return callee.id, expr

    def arguments(self, call: t.Call | t.Name, *names: str, first: bool = False) -> dict[str, t.Expr]:
        """Arguments by name; where `first`, one without a name is the first one's."""
        found: dict[str, t.Expr] = {}
        for argument in call.arguments if isinstance(call, t.Call) else ():
            if argument.path is not None:
                name, span = str(argument.path), argument.path.span
            elif first and names[0] not in found:
                name, span = names[0], argument.value.span
            else:
                shown = f"{names[0]} = ..." if names else ""
                raise self.wrong(
                    f"`{_callee(call)}` takes no such value", argument.value.span, "one too many",
                    f"write `{_callee(call)}({shown})`" if names else f"write `{_callee(call)}`",
                )  # fmt: skip
            if name not in names:
                raise self.wrong(
                    f"`{_callee(call)}` has no `{name}`", span,
                    f"it takes {_or(names)}" if names else "it takes nothing",
                    did_you_mean(name, names, "leave it out"),
                )  # fmt: skip
            if name in found:
                raise self.wrong(f"`{name}` is given twice", span, "given before", "leave one out")
            found[name] = argument.value
        return found

    def number(self, expr: t.Expr) -> Fraction:
        """A number."""
        value = self.sight.value(expr)
        if not isinstance(value, Fraction):
            raise self.wrong(f"`{self.name}` needs a number here", expr.span, "no number")
        return value

    def whole(self, expr: t.Expr, low: int, high: int, what: str) -> int:
        """A whole number within bounds."""
        value = self.number(expr)
        if value.denominator != 1 or not low <= value <= high:
            raise self.wrong(
                f"{what} is out of bounds" if value.denominator == 1 else f"{what} is a whole number",
                expr.span, f"found {number_text(value)}", f"write one from {low:,} to {high:,}",
            )  # fmt: skip
        return int(value)

    def seconds(self, expr: t.Expr) -> float:
        """A time, with its unit."""
        value = self.number(expr)
        if not any(n.unit for n in _numbers(expr)):
            raise self.wrong(
                "a time needs a unit", expr.span, "a bare number",
                f"write `{number_text(value)}s`, `{number_text(value)}min` or `{number_text(value)}h`",
            )  # fmt: skip
        if value <= 0:
            raise self.wrong("a time is more than nothing", expr.span, f"found {number_text(value)}")
        return float(value)


def _callee(call: t.Call | t.Name) -> str:
    return call.callee.id if isinstance(call, t.Call) else call.id


def _or(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _numbers(expr: t.Expr) -> Iterator[t.Number]:
    if isinstance(expr, t.Number):
        yield expr
    for part in parts_of(expr):
        yield from _numbers(part)


def listed(expr: t.Expr) -> tuple[t.Expr, ...]:
    """The items of a list, or the value alone."""
    expr = unwrapped(expr)
    return expr.items if isinstance(expr, t.List) else (expr,)


def read_sampler(expr: t.Expr, sight: Sight) -> Sampler:
    """`tpe(seed = 0)`.

    Raises:
        SpecError, DiagnosticError: E403.
    """
    values = Values("sampler", sight)
    name, call = values.call(expr, tuple(SAMPLERS))
    given = values.arguments(call, *SAMPLERS[name])
    seed = values.whole(given["seed"], 0, MAX_SEED, "a seed") if "seed" in given else 0
    many = values.whole(given["population"], 2, 10_000, "a population") if "population" in given else None
    few, share = None, Fraction(0)
    if "tournament" in given:
        few = values.whole(given["tournament"], 1, many or POPULATION, "a tournament")
    if "crossover" in given:
        share = values.number(given["crossover"])
        if not 0 <= share <= 1:
            raise values.wrong(
                "`crossover` is a share", given["crossover"].span, f"found {number_text(share)}",
                "so many of the children have two parents: write a number from 0 to 1",
            )  # fmt: skip
    return Sampler(name, seed, many, few, float(share))


def read_halving(expr: t.Expr, sight: Sight, task: Task | None) -> Halving | None:
    """`halving(rungs = [3, 9, 20], eta = 3)`, or `none`.

    Raises:
        SpecError, DiagnosticError: E403.
    """
    values = Values("stop", sight)
    expr = unwrapped(expr)
    if isinstance(expr, t.Constant) and expr.value is None:
        return None
    name, call = values.call(expr, ("halving", "none"))
    given = values.arguments(call, "rungs", "eta")
    if "rungs" not in given:
        raise values.wrong(f"`{name}` needs `rungs`", call.span, "`rungs` not given")
    items = listed(given["rungs"])
    rungs = tuple(values.whole(e, 1, MAX_COUNT, "a rung") for e in items)
    if len(rungs) < 2:
        raise values.wrong(
            "halving needs two rungs", given["rungs"].span, f"found {len(rungs)}",
            "at every rung but the last some are stopped; write `stop = none` to stop none",
        )  # fmt: skip
    for before, after, item in zip(rungs, rungs[1:], items[1:], strict=False):
        if after <= before:
            raise values.wrong("rungs rise", item.span, f"{after} behind {before}", "put them in order")
    if task is not None and rungs[-1] != task.epochs:
        raise values.wrong(
            "the last rung is the end of the task", items[-1].span,
            f"the task has {task.epochs} epochs",
            f"end the rungs at {task.epochs}, or write `epochs = {rungs[-1]}` in the task",
        )  # fmt: skip
    eta = Fraction(3)
    if "eta" in given:
        eta = values.number(given["eta"])
        if not 1 < eta <= 100:
            raise values.wrong(
                "`eta` is out of bounds", given["eta"].span, f"found {number_text(eta)}",
                "of `eta` candidates one goes on: write a number over 1, up to 100",
            )  # fmt: skip
    return Halving(rungs, float(eta))


def read_seeds(expr: t.Expr, sight: Sight) -> tuple[int, ...]:
    """`seeds(3)`.

    Raises:
        SpecError, DiagnosticError: E403.
    """
    values = Values("repeat", sight)
    _, call = values.call(expr, ("seeds",))
    given = values.arguments(call, "count", first=True)
    if "count" not in given:
        raise values.wrong("`seeds` needs a number", call.span, "no number")
    return tuple(range(values.whole(given["count"], 1, MAX_SEEDS, "the number of seeds")))


def read_budget(expr: t.Expr, sight: Sight) -> Budget:
    """`trials(100)`, `time(30min)`, `epochs(500)`, or a list of them.

    Raises:
        SpecError, DiagnosticError: E403.
    """
    values = Values("budget", sight)
    found = _amounts(values, expr, ("trials", "time", "epochs"))
    trials, epochs = (
        values.whole(found[n], 1, MAX_COUNT, f"the number of {n}") if n in found else None
        for n in ("trials", "epochs")
    )
    return Budget(trials, values.seconds(found["time"]) if "time" in found else None, epochs)


def read_limit(expr: t.Expr, sight: Sight) -> Limit:
    """`time(10min)`, `memory(4G)`, or a list of them.

    Raises:
        SpecError, DiagnosticError: E403.
    """
    values = Values("limit", sight)
    found = _amounts(values, expr, ("time", "memory"))
    memory = None
    if "memory" in found:
        memory = int(values.number(found["memory"]))
        if memory < LEAST_MEMORY:
            raise values.wrong(
                "the memory is too little to train in", found["memory"].span, f"{memory:,} bytes",
                "write it in bytes with a suffix: `memory(4G)`",
            )  # fmt: skip
    return Limit(values.seconds(found["time"]) if "time" in found else None, memory)


def _amounts(values: Values, expr: t.Expr, words: Sequence[str]) -> dict[str, t.Expr]:
    found: dict[str, t.Expr] = {}
    for item in listed(expr):
        name, call = values.call(item, words)
        given = values.arguments(call, "amount", first=True)
        if "amount" not in given:
            raise values.wrong(f"`{name}` needs a number", call.span, "no number")
        if name in found:
            raise values.wrong(f"`{name}` is given twice", call.span, "given before", "leave one out")
        found[name] = given["amount"]
    if not found:
        raise values.wrong("the list is empty", expr.span, f"expected {_or(words)}")
    return found


def read_switch(expr: t.Expr, sight: Sight) -> bool:
    """`on` or `off`.

    Raises:
        SpecError, DiagnosticError: E403.
    """
    value = sight.value(expr)
    if not isinstance(value, bool):
        raise Values("synchronous", sight).wrong("`synchronous` is on or off", expr.span, "neither")
    return value
