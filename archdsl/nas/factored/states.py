"""States and edges of the automaton: a layered graph without cycles, equal parts of it built once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from archdsl.nas.space import Choice

Choices = tuple[tuple[str, Choice], ...]
"""Choices that were made, by name."""


class Weight(NamedTuple):
    """What a part costs, for one image; weights along a path add up.

    Args:
        params: trainable parameters.
        macs: multiply-accumulates, scans apart.
        memory: bytes that training keeps, see `archdsl.graph.sections.Section.memory`.
        operators: how many.
    """

    params: int = 0
    macs: int = 0
    memory: int = 0
    operators: int = 0

    def plus(self, other: Weight) -> Weight:
        """The sum."""
        return Weight(
            self.params + other.params,
            self.macs + other.macs,
            self.memory + other.memory,
            self.operators + other.operators,
        )


NOTHING = Weight()


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """A step: choices that are made, and what stands in the architecture because of them.

    Args:
        token: a letter of the architecture's label; 0 for none.
        weight: of what the token stands for.
        choices: made by this step; a path makes every choice of its point once.
        target: where it leads.
    """

    token: int
    weight: Weight
    choices: Choices
    target: State


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What can follow. Every state reaches the end.

    Args:
        number: states that can follow this one have smaller numbers.
        edges: out of it; none at the end.
    """

    number: int
    edges: tuple[Edge, ...]


@dataclass(slots=True)
class Graph:
    """Makes states, equal ones once, and numbers the letters of labels.

    Attributes:
        end: of every path.
        edges: how many were made.
    """

    end: State = field(default_factory=lambda: State(0, ()))
    edges: int = 0
    _states: dict[tuple[tuple[int, Weight, Choices, int], ...], State] = field(default_factory=dict)
    _tokens: dict[Hashable, int] = field(default_factory=dict)
    _letters: list[Hashable] = field(default_factory=lambda: [None])

    def token(self, letter: Hashable) -> int:
        """The number of a letter, from 1."""
        found = self._tokens.get(letter)
        if found is None:
            found = self._tokens[letter] = len(self._letters)
            self._letters.append(letter)
        return found

    def letter(self, token: int) -> Hashable:
        """The letter with a number."""
        return self._letters[token]

    def state(self, edges: Sequence[Edge]) -> State | None:
        """The state with these edges; None where there are none, as nothing can follow."""
        if not edges:
            return None
        key = tuple((e.token, e.weight, e.choices, e.target.number) for e in edges)
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = State(len(self._states) + 1, tuple(edges))
            self.edges += len(edges)
        return found

    def behind(self, tokens: Sequence[int], weight: Weight, target: State) -> State:
        """The state from which exactly these tokens lead to the target; `weight` is that of all of them."""
        if not tokens and weight == NOTHING:
            return target
        for token in reversed(tokens[1:]):
            target = self._step(token, NOTHING, target)
        return self._step(tokens[0] if tokens else 0, weight, target)

    def _step(self, token: int, weight: Weight, target: State) -> State:
        made = self.state([Edge(token, weight, (), target)])
        return target if made is None else made


def upwards(start: State) -> list[State]:
    """All states that can follow, the start last: whatever follows a state stands before it."""
    found = {start.number: start}
    waiting = [start]
    while waiting:
        for edge in waiting.pop().edges:
            if edge.target.number not in found:
                found[edge.target.number] = edge.target
                waiting.append(edge.target)
    return [found[number] for number in sorted(found)]


def steps(states: Sequence[State]) -> Iterator[tuple[State, Edge]]:
    """All edges with the state they leave."""
    return ((state, edge) for state in states for edge in state.edges)
