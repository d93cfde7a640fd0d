"""What was tried of a space, and what is left of it: near a point, or anywhere.

Answers depend on what was tried and on the randomness that is handed in, never on what was asked before, so a
search that is taken up again gets the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random

from archdsl.nas.choosers import Drawn
from archdsl.nas.moves import domains, mutation, neighbours
from archdsl.nas.points import to_line
from archdsl.nas.space import Candidate, Candidates, Point, Refusal, Space, Told, Whole

DRAWS = 500
"""Even draws that bring nothing new, after which there is nothing left."""
LISTED = 4096
"""So many points are listed rather than drawn from."""
MUTATIONS = 32
"""That are tried before all neighbours are."""
HOPS = 4
"""Points whose neighbours are looked at."""


class Untried:
    """What is left of a space.

    Args:
        space: of the search.
        candidates: what its points stand for.
        whole: its architectures, where they can be told apart.
    """

    def __init__(self, space: Space, candidates: Candidates, whole: Whole | None) -> None:
        self._space = space
        self._whole = whole
        self._candidates = candidates
        self._keys: set[str] = set()
        self._points: set[str] = set()
        self._barren: set[str] = set()
        self.listed = space.count is not None and space.count <= LISTED

    def enter(self, point: Point, key: str = "") -> None:
        """A point is tried, or refused, which leaves it without a key."""
        self._points.add(to_line(point))
        if key:
            self._keys.add(key)

    def look(self, point: Point) -> Candidate | Refusal | None:
        """What a point stands for; None where that was tried before."""
        if to_line(point) in self._points:
            return None
        found = self._candidates.at(point)
        return None if isinstance(found, Candidate) and found.key in self._keys else found

    def near(self, point: Point, random: Random) -> Candidate | None:
        """An untried candidate that meets what is required: at one change from a point where there is one,
        else farther away; None where none is found."""
        if self._space.count == 1:
            return None
        for _ in range(HOPS):
            found = self._first(self._around(point, random))
            if found is not None:
                return found
            point = mutation(self._space, point, random)
        return None

    def any(self, random: Random) -> Candidate | None:
        """An untried candidate that meets what is required, every architecture as likely where the space
        knows them, else every point; None where none is found."""
        found = None if self._whole is None else self._first(self._sampled(self._whole, random))
        if found is not None:
            return found
        if not self.listed:
            return self._first(self._space.draw(Drawn(random, {})) for _ in range(DRAWS))
        points = list(self._space.points())
        random.shuffle(points)
        return self._first(points)

    def _sampled(self, whole: Whole, random: Random) -> Iterator[Point]:
        for _ in range(DRAWS):
            drawn = whole.sample(random)
            if drawn is None:
                return
            yield self._loosened(whole, drawn, random)
        if whole.distinct is not None and whole.distinct <= LISTED:
            rest = [each.point for each in whole.enumerate()]
            random.shuffle(rest)
            yield from rest

    def _loosened(self, whole: Whole, drawn: Told, random: Random) -> Point:
        """Any point of an architecture: choices that it is the same with, as drop path, are drawn as well."""
        point = drawn.point
        for domain in domains(self._space, point):
            value = Drawn(random, {}).choose(domain)
            if point.get(domain.name, value) != value:
                other = self._space.draw(Drawn(random, {**point, domain.name: value}))
                found = whole.locate(other)
                if found is not None and found.tokens == drawn.tokens:
                    point = other
        return point

    def _around(self, point: Point, random: Random) -> Iterator[Point]:
        for _ in range(MUTATIONS):
            yield mutation(self._space, point, random)
        rest = list(islice(neighbours(self._space, point), LISTED))
        random.shuffle(rest)
        yield from rest

    def _first(self, points: Iterable[Point]) -> Candidate | None:
        for point in points:
            line = to_line(point)
            if line not in self._points and line not in self._barren:
                found = self.look(point)
                if isinstance(found, Candidate):
                    return found
                self._barren.add(line)
        return None
