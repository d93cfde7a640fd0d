"""What may stand in a place: values with choices in them, drawn, counted, and pinned for trying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Protocol

from archdsl.diagnostics import Span
from archdsl.lang import tree as t
from archdsl.nas.choosers import Known, Noting, Odometer
from archdsl.nas.forms import rebuilt, unrolled
from archdsl.nas.references import Steps, filled
from archdsl.nas.space import Alternatives, Choice, Chooser, Interval, Point

KEPT = 4096
"""Values of a line that are remembered."""
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
        choice = chooser.choose(self.domain)
        if self.step is None:
            text = f"{float(choice):.{DIGITS}g}"
            if "." in text and 0 <= self.domain.low < float(text) < self.domain.high:
                return t.Number(self.span, Fraction(text), text)
            n = Fraction(text)
        else:
            n = self.low + round((Fraction(choice) - self.low) / self.step) * self.step
        return number(min(max(n, self.low), self.high), self.span)

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
        form: its domain; values that it draws may still name the paths below.
        field: of the task, where the path is `train.FIELD`.
        names: paths of other lines, of which it takes over the values.
    """

    path: t.Path
    form: Form
    field: str | None = None
    names: tuple[str, ...] = ()


class _Kept:
    """The values of a form, each drawn once and then the same object, where it has finitely many."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.finite = form.count is not None
        self.names = tuple(dict.fromkeys(names_in(form)))
        self.values: dict[tuple[Choice | None, ...], t.Expr] = {}

    def draw(self, point: Point, known: Known) -> t.Expr:
        """The value at a point.

        Raises:
            KeyError: see `Known`.
        """
        if not self.finite:
            return self.form.draw(known)
        key = tuple(map(point.get, self.names))
        value = self.values.get(key)
        if value is None:
            if len(self.values) >= KEPT:
                self.values.clear()
            value = self.values[key] = self.form.draw(known)
        return value


def names_in(form: Form) -> Iterator[str]:
    """The names of all choices that a value may ask for."""
    match form:
        case OneOf(domain=domain, forms=forms):
            yield domain.name
            for inner in forms.values():
                yield from names_in(inner)
        case Numbers(domain=numbers):
            yield numbers.name
        case Each(copies=parts) | Around(parts=parts):
            for part in parts:
                yield from names_in(part)
        case Fixed():
            return
        case _:
            raise TypeError(f"choices of {type(form).__name__}")


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
        noting = Noting(chooser)
        for line in self.lines:
            line.form.draw(noting)
        return noting.made

    def values(self, point: Point) -> tuple[tuple[Line, t.Expr], ...]:
        """The value that stands in each place.

        Raises:
            KeyError: where the point lacks a choice, or has one that the space does not know.
        """
        known = Known(point)
        values = [(line, kept.draw(point, known)) for line, kept in self._kept]
        return tuple(self._filled(values) if self._named_first else values)

    @cached_property
    def _kept(self) -> tuple[tuple[Line, _Kept], ...]:
        return tuple((line, _Kept(line.form)) for line in self.lines)

    def alone(self, line: Line, chooser: Chooser) -> tuple[tuple[Line, t.Expr], ...]:
        """The value that a chooser puts in the place of one line, behind those that it takes over."""
        needed, waiting = {line.path.steps}, [line]
        while waiting:
            named = waiting.pop().names
            found = [other for other in self.lines if str(other.path) in named]
            waiting += (other for other in found if other.path.steps not in needed)
            needed.update(other.path.steps for other in found)
        return self._drawn([other for other in self.lines if other.path.steps in needed], chooser)

    def _drawn(self, lines: Sequence[Line], chooser: Chooser) -> tuple[tuple[Line, t.Expr], ...]:
        """The values of lines."""
        return tuple(self._filled([(line, line.form.draw(chooser)) for line in lines]))

    def _filled(self, values: Sequence[tuple[Line, t.Expr]]) -> Iterator[tuple[Line, t.Expr]]:
        """Drawn values with those that they take over, among which is every line that one of them names."""
        drawn = {line.path.steps: value for line, value in values}
        for line in self._named_first:
            if line.path.steps in drawn:
                drawn[line.path.steps] = filled(drawn[line.path.steps], drawn)
        return ((line, drawn[line.path.steps]) for line, _ in values)

    @cached_property
    def _named_first(self) -> tuple[Line, ...]:
        """The lines that name others, each behind those it names."""
        order: dict[Steps, Line] = {}
        waiting = [line for line in self.lines if line.names]
        while waiting:
            left = {str(line.path) for line in waiting}
            ready = [line for line in waiting if left.isdisjoint(line.names)]
            order |= {line.path.steps: line for line in ready}
            waiting = [line for line in waiting if line not in ready]
        return tuple(order.values())

    def points(self) -> Iterator[Point]:
        """All points in a fixed order, the last choice changing fastest.

        Raises:
            ValueError: where the space is infinite.
        """
        if self.count is None:
            raise ValueError("a space with ranges of real numbers has no last point")
        odometer: Odometer | None = Odometer()
        while odometer is not None:
            yield self.draw(odometer)
            odometer = odometer.next()

    def pins(self) -> Iterator[tuple[Line, dict[str, Choice], Span]]:
        """For every alternative of every line the choices that lead to it, with its place."""
        for line in self.lines:
            for pins, span in line.form.pins():
                yield line, pins, span
