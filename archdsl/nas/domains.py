"""What may stand in a place: values with choices in them, drawn, counted, and pinned for trying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from random import Random
from typing import Protocol

from archdsl.diagnostics import Span
from archdsl.lang import tree as t
from archdsl.nas.forms import rebuilt, unrolled
from archdsl.nas.space import Alternatives, Choice, Chooser, Domain, Interval, Point

DIGITS = 6
"""Significant digits of real numbers that are drawn."""


class Form(Protocol):
    """A value with choices in it."""

    @property
    def count(self) -> int | None:
        """How many ways there are to choose; None for infinitely many."""
        ...

    def draw(self, chooser: Chooser) -> t.Expr:
        """The value with every choice made."""
        ...

    def pins(self) -> Iterator[tuple[dict[str, Choice], Span]]:
        """For every alternative the choices that lead to it, with its place; both ends of ranges."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """A value without choices."""

    expr: t.Expr

    @property
    def count(self) -> int | None:
        """One."""
        return 1

    def draw(self, chooser: Chooser) -> t.Expr:
        """Itself."""
        return self.expr

    def pins(self) -> Iterator[tuple[dict[str, Choice], Span]]:
        """None."""
        return iter(())


@dataclass(frozen=True, slots=True)
class OneOf:
    """`one_of(a, b)`."""

    domain: Alternatives
    forms: Mapping[str, Form]
    spans: tuple[Span, ...]

    @property
    def count(self) -> int | None:
        """The sum over the alternatives."""
        counts = [f.count for f in self.forms.values()]
        return None if None in counts else sum(c or 0 for c in counts)

    def draw(self, chooser: Chooser) -> t.Expr:
        """One of the alternatives."""
        return self.forms[str(chooser.choose(self.domain))].draw(chooser)

    def pins(self) -> Iterator[tuple[dict[str, Choice], Span]]:
        """Every alternative, then those inside it."""
        for (label, form), span in zip(self.forms.items(), self.spans, strict=True):
            taken: dict[str, Choice] = {self.domain.name: label}
            yield taken, span
            for inner, place in form.pins():
                yield {**taken, **inner}, place


@dataclass(frozen=True, slots=True)
class Numbers:
    """`low .. high`, with exact ends and step."""

    domain: Interval
    low: Fraction
    high: Fraction
    step: Fraction | None
    span: Span

    @property
    def count(self) -> int | None:
        """Numbers on the steps; None where there are no steps."""
        return None if self.step is None else int((self.high - self.low) / self.step) + 1

    def draw(self, chooser: Chooser) -> t.Expr:
        """The number nearest to the one chosen that the range holds."""
        return number(self._nearest(Fraction(chooser.choose(self.domain))), self.span)

    def _nearest(self, n: Fraction) -> Fraction:
        if self.step is not None:
            n = self.low + round((n - self.low) / self.step) * self.step
        else:
            n = Fraction(f"{float(n):.{DIGITS}g}")
        return min(max(n, self.low), self.high)

    def pins(self) -> Iterator[tuple[dict[str, Choice], Span]]:
        """Both ends."""
        for end in (self.low, self.high):
            yield {self.domain.name: int(end) if self.domain.whole else float(end)}, self.span


@dataclass(frozen=True, slots=True)
class Each:
    """`n x each value`: copies with choices of their own, joined by `+` or `->`."""

    copies: tuple[Form, ...]
    joint: str
    span: Span

    @property
    def count(self) -> int | None:
        """The product over the copies."""
        return _product(self.copies)

    def draw(self, chooser: Chooser) -> t.Expr:
        """The copies behind one another."""
        return unrolled([copy.draw(chooser) for copy in self.copies], self.joint, self.span)

    def pins(self) -> Iterator[tuple[dict[str, Choice], Span]]:
        """Those of the first copy; the others are the same text."""
        return self.copies[0].pins()


@dataclass(frozen=True, slots=True)
class Around:
    """A value with choices in some of its parts."""

    expr: t.Expr
    parts: tuple[Form, ...]

    @property
    def count(self) -> int | None:
        """The product over the parts."""
        return _product(self.parts)

    def draw(self, chooser: Chooser) -> t.Expr:
        """The value with its parts drawn."""
        return rebuilt(self.expr, [part.draw(chooser) for part in self.parts])

    def pins(self) -> Iterator[tuple[dict[str, Choice], Span]]:
        """Those of all parts."""
        for part in self.parts:
            yield from part.pins()


def _product(forms: Sequence[Form]) -> int | None:
    counts = [f.count for f in forms]
    return None if None in counts else prod(c or 0 for c in counts)


def number(value: Fraction, span: Span) -> t.Expr:
    """An exact number as the language writes it."""
    text = f"{float(abs(value)):.12g}"
    if "." not in text and "e" not in text:
        text = ""
    literal = t.Number(span, abs(value), text if text and Fraction(text) == abs(value) else "")
    return literal if value >= 0 else t.Unary(span, "-", literal)


@dataclass(frozen=True, slots=True)
class Line:
    """A place and what may stand there.

    Args:
        path: as written.
        form: its domain.
        field: of the task, where the path is `train.FIELD`.
    """

    path: t.Path
    form: Form
    field: str | None = None


@dataclass(frozen=True)
class VariedSpace:
    """All points of a search; see `archdsl.nas.space.Space`."""

    lines: tuple[Line, ...]

    @cached_property
    def count(self) -> int | None:
        """How many points there are; None where real numbers make it infinite."""
        return _product([line.form for line in self.lines])

    def told(self) -> str:
        """How large it is, in words: `2,916 points`."""
        if not self.lines:
            return "nothing is varied"
        if self.count is not None:
            return f"{self.count:,} point{'' if self.count == 1 else 's'}"
        real = [str(line.path) for line in self.lines if line.form.count is None]
        rest = _product([line.form for line in self.lines if line.form.count is not None]) or 1
        these = f"{' and '.join(real)} {'is a real number' if len(real) == 1 else 'are real numbers'}"
        without = f"; {rest:,} without" if rest > 1 else ""
        return f"infinitely many points ({these}{without})"

    def draw(self, chooser: Chooser) -> Point:
        """A point; the chooser is asked for every choice that occurs, in a fixed order."""
        noting = _Noting(chooser)
        for line in self.lines:
            line.form.draw(noting)
        return noting.made

    def values(self, point: Point) -> tuple[tuple[Line, t.Expr], ...]:
        """The value that stands in each place.

        Raises:
            KeyError: where the point lacks a choice, or has one that the space does not know.
        """
        known = Known(point)
        return tuple((line, line.form.draw(known)) for line in self.lines)

    def points(self) -> Iterator[Point]:
        """All points in a fixed order, the last choice changing fastest.

        Raises:
            ValueError: where the space is infinite.
        """
        if self.count is None:
            raise ValueError("a space with ranges of real numbers has no last point")
        odometer: _Odometer | None = _Odometer()
        while odometer is not None:
            yield self.draw(odometer)
            odometer = odometer.next()

    def pins(self) -> Iterator[tuple[Line, dict[str, Choice], Span]]:
        """For every alternative of every line the choices that lead to it, with its place."""
        for line in self.lines:
            for pins, span in line.form.pins():
                yield line, pins, span


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
class _Noting:
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


class _Odometer:
    """Makes choices by number and counts up."""

    def __init__(self, start: Sequence[int] = ()) -> None:
        self._start = tuple(start)
        self._made: list[tuple[int, int]] = []  # which, of how many

    def choose(self, domain: Domain) -> Choice:
        """The choice whose turn it is."""
        which = self._start[len(self._made)] if len(self._made) < len(self._start) else 0
        size = _size(domain)
        self._made.append((which, size))
        if isinstance(domain, Alternatives):
            return domain.labels[which]
        n = domain.low + which * (domain.step or 1)
        return round(n) if domain.whole else n

    def next(self) -> _Odometer | None:
        """The one for the next point, None behind the last."""
        made = list(self._made)
        while made:
            which, size = made.pop()
            if which + 1 < size:
                return _Odometer([*(w for w, _ in made), which + 1])
        return None


def _size(domain: Domain) -> int:
    if isinstance(domain, Alternatives):
        return len(domain.labels)
    return round((domain.high - domain.low) / (domain.step or 1)) + 1


def first(domain: Domain) -> Choice:
    """The first alternative, or the lower end."""
    if isinstance(domain, Alternatives):
        return domain.labels[0]
    return int(domain.low) if domain.whole else domain.low
