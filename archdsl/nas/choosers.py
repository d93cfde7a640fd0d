"""Ways to choose: as a point says, at random, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from archdsl.nas.space import Alternatives, Choice, Chooser, Domain, Point


@dataclass(slots=True)
class Known:
    """Makes the choices of a point that is known."""

    point: Point

    def choose(self, domain: Domain) -> Choice:
        """The point's.

        Raises:
            KeyError: where it has none, or one that is not of the domain.
        """
        choice = self.point[domain.name]
        if isinstance(domain, Alternatives) and choice not in domain.labels:
            raise KeyError(f"{domain.name} is not {choice}")
        return choice


@dataclass(slots=True)
class Pinned:
    """Makes the choices it was given; of the others the first, or the lower end."""

    pins: Mapping[str, Choice]

    def choose(self, domain: Domain) -> Choice:
        """The pinned choice, else the first."""
        return self.pins.get(domain.name, first(domain))


@dataclass(slots=True)
class Drawn:
    """Makes the choices it was given; the others at random, evenly (in the logarithm where `log`)."""

    random: Random
    pins: Mapping[str, Choice]

    def choose(self, domain: Domain) -> Choice:
        """The pinned choice, else a random one."""
        if domain.name in self.pins:
            return self.pins[domain.name]
        if isinstance(domain, Alternatives):
            return self.random.choice(domain.labels)
        low, high = domain.low, domain.high
        if domain.step is not None and not domain.log:
            n = low + self.random.randint(0, round((high - low) / domain.step)) * domain.step
        else:
            n = low * (high / low) ** self.random.random() if domain.log else self.random.uniform(low, high)
        return round(n) if domain.whole else n


@dataclass(slots=True)
class Noting:
    """Takes note of what another chooser chooses."""

    chooser: Chooser
    made: dict[str, Choice]

    def __init__(self, chooser: Chooser) -> None:
        self.chooser = chooser
        self.made = {}

    def choose(self, domain: Domain) -> Choice:
        """The other's."""
        choice = self.chooser.choose(domain)
        self.made[domain.name] = choice
        return choice


class Odometer:
    """Makes choices by number and counts up; real numbers stay at their lower ends."""

    def __init__(self, start: Sequence[int] = ()) -> None:
        self._start = tuple(start)
        self._made: list[tuple[int, int]] = []  # which, of how many

    def choose(self, domain: Domain) -> Choice:
        """The choice whose turn it is."""
        which = self._start[len(self._made)] if len(self._made) < len(self._start) else 0
        many = size(domain) or 1
        self._made.append((which, many))
        if isinstance(domain, Alternatives):
            return domain.labels[which]
        n = domain.low + which * (domain.step or 1)
        return round(n) if domain.whole else n

    def next(self) -> Odometer | None:
        """The one for the next point, None behind the last."""
        made = list(self._made)
        while made:
            which, many = made.pop()
            if which + 1 < many:
                return Odometer([*(w for w, _ in made), which + 1])
        return None


def size(domain: Domain) -> int | None:
    """How many values a choice has; None for real numbers."""
    if isinstance(domain, Alternatives):
        return len(domain.labels)
    return None if domain.step is None else round((domain.high - domain.low) / domain.step) + 1


def first(domain: Domain) -> Choice:
    """The first alternative, or the lower end."""
    if isinstance(domain, Alternatives):
        return domain.labels[0]
    return int(domain.low) if domain.whole else domain.low
