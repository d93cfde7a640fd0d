"""The least and the most that anything costs that a space holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from archdsl.nas.factored.states import State, Weight, upwards


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both reached."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Ranges:
    """What the architectures of a space cost, for one image; see `archdsl.nas.factored.states.Weight`.

    That of memory is exact as far as sums over sections are, see `archdsl.graph.sections.Section.memory`.
    """

    params: Range
    macs: Range
    memory: Range
    operators: Range


def ranges(start: State) -> Ranges:
    """Exact: every end of a range is the cost of some architecture that compiles."""
    low: dict[int, Weight] = {}
    high: dict[int, Weight] = {}
    for state in upwards(start):
        if state.edges:
            low[state.number] = _best(state, low, min)
            high[state.number] = _best(state, high, max)
        else:
            low[state.number] = high[state.number] = Weight()
    least, most = low[start.number], high[start.number]
    return Ranges(*(Range(a, b) for a, b in zip(least, most, strict=True)))


def _best(state: State, known: dict[int, Weight], pick: Callable[[Iterable[int]], int]) -> Weight:
    sums = [edge.weight.plus(known[edge.target.number]) for edge in state.edges]
    return Weight(*(pick(column) for column in zip(*sums, strict=True)))
