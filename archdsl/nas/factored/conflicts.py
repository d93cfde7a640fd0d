"""Why points do not compile: the smallest sets of choices that no architecture has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

from archdsl.nas.choosers import Drawn
from archdsl.nas.domains import VariedSpace
from archdsl.nas.factored.anatomy import Anatomy, Assignment, Made
from archdsl.nas.factored.counts import by_choice, paths, reaches_the_end
from archdsl.nas.factored.states import State, upwards
from archdsl.nas.space import Choice

STEPS = 3_000_000
"""Edges that are looked at to find pairs of choices at fault, and as many to find larger sets."""
DRAWN = 2_000
"""Points that are drawn to find those that are at fault for other reasons."""
OTHERS = 60
"""Sets of more than two choices that are looked for."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Choices that never compile together, the same ones of every copy of a text taken as one.

    Args:
        sets: one, or one for each copy; each is as small as can be: without any of its choices some points
            compile.
        lost: points that contain one of them.
    """

    sets: tuple[Assignment, ...]
    lost: int


@dataclass(frozen=True, slots=True)
class Conflicts:
    """All that is known of the points that do not compile.

    Args:
        found: the ones that cost most points first.
        unexplained: points that do not compile and contain none of them.
    """

    found: tuple[Conflict, ...]
    unexplained: int


def conflicts(start: State, space: VariedSpace, anatomy: Anatomy) -> Conflicts:
    """Finds out why points do not compile.

    Args:
        start: of the automaton; some path leads to the end.
        space: whose paths it has, one for every point that compiles.
        anatomy: of that space.
    """
    total = space.count
    if total is None:
        raise ValueError("a space with ranges of real numbers is not factored")
    return _Search(start, space, anatomy, total).run()


@dataclass(slots=True)
class _Search:
    start: State
    space: VariedSpace
    anatomy: Anatomy
    total: int
    failing: int = 0
    sets: list[Assignment] = field(default_factory=list)

    def run(self) -> Conflicts:
        states = upwards(self.start)
        compiling = by_choice(states)
        self.failing = failing = self.total - paths(self.start)
        if not failing:
            return Conflicts((), 0)
        self._add(frozenset({made}) for made in self.anatomy.made() if made not in compiling)
        if self._explained() < failing:
            self._pairs(states, compiling)
        if self._explained() < failing:
            self._larger()
        return Conflicts(self._grouped(), failing - self._explained())

    def _points(self, share: Fraction) -> int:
        return int(share * self.total)

    def _explained(self) -> int:
        return self.total - self._points(self.anatomy.avoiding(self.sets))

    def _add(self, sets: Iterable[Assignment]) -> None:
        """Adds sets; one that implies another is left out."""
        new = [*self.sets, *sets]
        closed = {s: set((self.anatomy.closed(s) or {}).items()) for s in new}
        by_size = sorted(new, key=lambda s: (len(s), len(closed[s])))
        self.sets = []
        for one in by_size:
            if not any(other <= closed[one] for other in self.sets):
                self.sets.append(one)

    def _pairs(self, states: Sequence[State], compiling: Mapping[Made, int]) -> None:
        """Pairs at fault until all points are explained, those of which most points fail first."""
        made_by = {made: self._points_with(made) for made in compiling}
        suspects = [made for made, count in compiling.items() if count < made_by[made]]
        suspects.sort(key=lambda made: Fraction(compiling[made], made_by[made]))
        edges = sum(len(state.edges) for state in states)
        for first in suspects[: STEPS // edges]:
            together = by_choice(states, self.anatomy.closed([first]))
            self._add(
                frozenset({first, second})
                for second in suspects
                if second not in together and self.anatomy.closed([first, second]) is not None
            )
            if self._explained() == self.failing:
                return

    def _points_with(self, made: Made) -> int:
        share = Fraction(1)
        for name, value in (self.anatomy.closed([made]) or {}).items():
            share *= self.anatomy.sites[name].chance(value)
        return self._points(share)

    def _larger(self) -> None:
        """Sets of any size, from points drawn at random that nothing known explains."""
        random = Random(0)
        found = 0
        most = min(OTHERS, STEPS // (self.start.number * 4 * len(self.anatomy.sites) + 1) + 1)
        for _ in range(DRAWN):
            point = self.space.draw(Drawn(random, {}))
            made = set(point.items())
            if any(s <= made for s in self.sets) or reaches_the_end(self.start, point):
                continue
            self._add(self._with_relatives(self._smallest(list(point.items()))))
            found += 1
            if found == most or self._explained() == self.failing:
                return

    def _with_relatives(self, first: Assignment) -> list[Assignment]:
        """A set at fault, and those that are reached from it by other values of a choice, or by the same
        alternative in other copies of its text."""
        found, seen = [first], {first}
        tests = STEPS // self.start.number
        for one in found:
            for other in self._relatives(one):
                if other in seen:
                    continue
                seen.add(other)
                tests -= 1 + len(other)
                if tests < 0:
                    return found
                if self._fails(other) and not any(self._fails(other - {made}) for made in other):
                    found.append(other)
        return found

    def _relatives(self, one: Assignment) -> Iterator[Assignment]:
        names = {name for name, _ in one}
        for name, value in one:
            site = self.anatomy.sites[name]
            rest = one - {(name, value)}
            yield from (rest | {(name, other)} for other in site.values() if other != value)
            for copy in self.anatomy.sites.values():
                there = copy.name not in names and copy.line is site.line and value in copy.values()
                if there and copy.span(value) == site.span(value):
                    yield rest | {(copy.name, value)}

    def _smallest(self, made: Sequence[Made]) -> Assignment:
        """The smallest set at fault that is met when choices are left out from the front and the back."""
        forwards = _reduced(made, self._fails)
        backwards = _reduced(made[::-1], self._fails)
        return frozenset(forwards if len(forwards) <= len(backwards) else backwards)

    def _fails(self, made: Iterable[Made]) -> bool:
        pins = self.anatomy.closed(made)
        return pins is None or not reaches_the_end(self.start, pins)

    def _grouped(self) -> tuple[Conflict, ...]:
        """The sets, those together that stand in the same texts."""
        groups: dict[tuple[tuple[int, int], ...], list[Assignment]] = {}
        for one in self.sets:
            spans = (self.anatomy.sites[name].span(value) for name, value in one)
            groups.setdefault(tuple(sorted((s.line, s.column) for s in spans)), []).append(one)
        out = [Conflict(tuple(sets), self._lost(sets)) for sets in groups.values()]
        return tuple(sorted(out, key=lambda c: (len(c.sets[0]), -c.lost)))

    def _lost(self, sets: Sequence[Assignment]) -> int:
        return self.total - self._points(self.anatomy.avoiding(sets))


def _reduced(made: Sequence[Made], fails: Callable[[Sequence[Made]], bool]) -> list[Made]:
    """A part of some choices that still fails, and without any of which it does not (QuickXplain)."""
    return _needed([], list(made), fails, changed=False)


def _needed(
    kept: list[Made], made: list[Made], fails: Callable[[Sequence[Made]], bool], *, changed: bool
) -> list[Made]:
    if changed and fails(kept):
        return []
    if len(made) == 1:
        return made
    half = len(made) // 2
    first, second = made[:half], made[half:]
    of_second = _needed([*kept, *first], second, fails, changed=bool(first))
    of_first = _needed([*kept, *of_second], first, fails, changed=bool(of_second))
    return [*of_first, *of_second]


def chosen(assignment: Assignment, anatomy: Anatomy) -> list[tuple[str, Choice]]:
    """The choices of an assignment in the order along the way."""
    return sorted(assignment, key=lambda made: anatomy.sites[made[0]].order)
