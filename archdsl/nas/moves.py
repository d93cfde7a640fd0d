"""From points to other points: mutation, crossover, neighbours. All of them are points of the same space.

Nothing is known of a space but the order in which it asks for choices, so a choice inside an alternative is
asked for only where that alternative was taken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from archdsl.nas.choosers import Drawn, Known, Noting, Odometer, size
from archdsl.nas.space import Alternatives, Choice, Chooser, Domain, Interval, Point, Space


def domains(space: Space, point: Point) -> list[Domain]:
    """The choices that a point makes, in the order in which they are asked for.

    Raises:
        KeyError: where it is no point of the space.
    """
    listing = _Listing(Known(point), [])
    space.draw(listing)
    return listing.asked


def mutation(space: Space, point: Point, random: Random) -> Point:
    """Another point: one choice is drawn anew and becomes another, choices that come with it are drawn, and
    all others stay.

    Which one changes: first a line, by the square root of the number of its choices, then one of those
    evenly. So `16 x each ...` is changed four times as often as `dim`, not sixteen times.

    Raises:
        ValueError: where the point has no choice that could be another.
    """
    free = [d for d in domains(space, point) if size(d) != 1]
    if not free:
        raise ValueError("a space of one point has no mutations")
    many = Counter(_line(d) for d in free)
    line = random.choices(list(many), [math.sqrt(n) for n in many.values()])[0]
    domain = random.choice([d for d in free if _line(d) == line])
    other = _another(domain, point[domain.name], random)
    return space.draw(Drawn(random, {**point, domain.name: other}))


def crossover(space: Space, one: Point, two: Point, random: Random) -> Point:
    """A point with every choice from one of two others at random.

    A choice that only one of them makes is taken from that one, so alternatives bring their own.
    """
    return space.draw(_Either(one, two, random))


def neighbours(space: Space, point: Point) -> Iterator[Point]:
    """All points at one change from a point, in a fixed order: every choice in turn takes every other value,
    with every combination of the choices that come with it.

    Real numbers are left as they are, as they have no next one; so are they where they come with a change:
    there they stand at their lower ends.
    """
    for domain in domains(space, point):
        for other in _others(domain, point[domain.name]):
            kept = {**point, domain.name: other}
            odometer: Odometer | None = Odometer()
            while odometer is not None:
                noting = Noting(_Beside(kept, odometer))
                space.draw(noting)
                yield noting.made
                odometer = odometer.next()


def _place(domain: Interval, value: Choice) -> int:
    return round((float(value) - domain.low) / (domain.step or 1))


def _at(domain: Interval, place: int) -> Choice:
    number = domain.low + place * (domain.step or 1)
    return round(number) if domain.whole else number


def _others(domain: Domain, value: Choice) -> Sequence[Choice]:
    """The other values of a choice; none of real numbers."""
    if isinstance(domain, Alternatives):
        return [label for label in domain.labels if label != value]
    if domain.step is None:
        return []
    own = _place(domain, value)
    return [_at(domain, place) for place in range(size(domain) or 0) if place != own]


def _another(domain: Domain, value: Choice, random: Random) -> Choice:
    """One of the other values, as likely as any draw of it."""
    if isinstance(domain, Alternatives) or not (domain.log or domain.step is None):
        return random.choice(_others(domain, value))
    drawn = Drawn(random, {})
    while (other := drawn.choose(domain)) == value:
        continue
    return other


def _line(domain: Domain) -> str:
    return domain.name.partition("#")[0]


@dataclass(slots=True)
class _Listing:
    """Keeps what another chooser is asked."""

    chooser: Chooser
    asked: list[Domain]

    def choose(self, domain: Domain) -> Choice:
        self.asked.append(domain)
        return self.chooser.choose(domain)


@dataclass(slots=True)
class _Either:
    """Makes each choice as one of two points does."""

    one: Point
    two: Point
    random: Random

    def choose(self, domain: Domain) -> Choice:
        made = [p[domain.name] for p in (self.one, self.two) if domain.name in p]
        return self.random.choice(made)


@dataclass(slots=True)
class _Beside:
    """Makes the choices of a point, and those it has not by number."""

    point: Point
    odometer: Odometer

    def choose(self, domain: Domain) -> Choice:
        if domain.name in self.point:
            return self.point[domain.name]
        return self.odometer.choose(domain)
