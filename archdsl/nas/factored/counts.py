"""How many points compile: paths through the automaton, all of them or those with some choices given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from archdsl.nas.factored.states import Edge, State, upwards
from archdsl.nas.space import Choice


def allowed(edge: Edge, pins: Mapping[str, Choice]) -> bool:
    """Whether a step goes together with the choices given."""
    return all(pins.get(name, value) == value for name, value in edge.choices)


def paths(start: State) -> int:
    """How many paths lead from a state to the end."""
    return _behind(upwards(start), {})[start.number]


def _behind(states: Sequence[State], pins: Mapping[str, Choice]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for state in states:
        if state.edges:
            ways = (counts[e.target.number] for e in state.edges if not pins or allowed(e, pins))
            counts[state.number] = sum(ways)
        else:
            counts[state.number] = 1
    return counts


def by_choice(
    states: Sequence[State], pins: Mapping[str, Choice] | None = None
) -> dict[tuple[str, Choice], int]:
    """For every choice how many paths make it, among those that make the choices given; 0 is left out.

    Args:
        states: from `upwards`; paths begin at the last one.
        pins: the choices given.
    """
    pins = pins or {}
    behind = _behind(states, pins)
    before: dict[int, int] = defaultdict(int)
    before[states[-1].number] = 1
    out: dict[tuple[str, Choice], int] = defaultdict(int)
    for state in reversed(states):
        here = before[state.number]
        if not here:
            continue
        for edge in state.edges:
            if pins and not allowed(edge, pins):
                continue
            before[edge.target.number] += here
            through = here * behind[edge.target.number]
            if through:
                for choice in edge.choices:
                    out[choice] += through
    return out


def reaches_the_end(start: State, pins: Mapping[str, Choice]) -> bool:
    """Whether some path makes all the choices given."""
    dead: set[int] = set()
    trail = [(start, iter(start.edges))]
    while trail:
        state, edges = trail[-1]
        if not state.edges:
            return True
        for edge in edges:
            if edge.target.number not in dead and allowed(edge, pins):
                trail.append((edge.target, iter(edge.target.edges)))
                break
        else:
            dead.add(state.number)
            trail.pop()
    return False
