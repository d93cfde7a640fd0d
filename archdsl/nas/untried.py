"""What was tried of a space, and what is left of it: near a point, or anywhere.

Answers depend on what was tried and on the randomness that is handed in, never on what was asked before, so a
search that is taken up again gets the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random

from archdsl.nas.choosers import Drawn
from archdsl.nas.moves import mutation, neighbours
from archdsl.nas.points import to_line
from archdsl.nas.space import Candidate, Candidates, Point, Refusal, Space

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
    """

    def __init__(self, space: Space, candidates: Candidates) -> None:
        self._space = space
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
        """An untried candidate that meets what is required, every point as likely; None where none is
        found."""
        if not self.listed:
            drawn = Drawn(random, {})
            return self._first(self._space.draw(drawn) for _ in range(DRAWS))
        points = list(self._space.points())
        random.shuffle(points)
        return self._first(points)

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
