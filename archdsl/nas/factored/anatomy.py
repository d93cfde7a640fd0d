"""The choices of a space: where each stands, what it hangs on, and how likely its values are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from archdsl.diagnostics import Span
from archdsl.nas.domains import Around, Each, Form, Line, Numbers, OneOf
from archdsl.nas.space import Choice

Made = tuple[str, Choice]
"""A choice and its value."""
Assignment = frozenset[Made]
"""Choices with their values, each choice once."""


@dataclass(frozen=True, slots=True)
class Site:
    """A choice.

    Args:
        line: in which it stands.
        order: along the way from the image to the logits.
        form: what it chooses from.
        parent: the choice without which it does not occur, and the value that that has to have.
    """

    line: Line
    order: int
    form: OneOf | Numbers
    parent: Made | None

    @property
    def name(self) -> str:
        """Of the choice."""
        return self.form.domain.name

    def values(self) -> Iterator[Choice]:
        """All values."""
        if isinstance(self.form, OneOf):
            yield from self.form.forms
            return
        domain = self.form.domain
        for which in range(self.form.count or 0):
            n = domain.low + which * (domain.step or 1)
            yield round(n) if domain.whole else n

    def span(self, value: Choice) -> Span:
        """The alternative, or the range."""
        if isinstance(self.form, Numbers):
            return self.form.span
        return self.form.spans[self.form.domain.labels.index(str(value))]

    def chance(self, value: Choice) -> Fraction:
        """The share of points that have this value, among those that have the choice."""
        count = self.form.count or 1
        if isinstance(self.form, Numbers):
            return Fraction(1, count)
        return Fraction(self.form.forms[str(value)].count or 0, count)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """All choices of a space of which every line has an end.

    Args:
        sites: by name, in the order along the way.
    """

    sites: Mapping[str, Site]

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Anatomy:
        """The choices of lines that are in the order along the way."""
        found = _Finding()
        for line in lines:
            found.look(line, line.form, None)
        return cls(found.sites)

    def made(self) -> Iterator[Made]:
        """Every value of every choice."""
        return ((site.name, value) for site in self.sites.values() for value in site.values())

    def closed(self, assignment: Iterable[Made]) -> dict[str, Choice] | None:
        """The assignment with the choices that it hangs on; None where they contradict each other."""
        out: dict[str, Choice] = {}
        for made in assignment:
            current: Made | None = made
            while current is not None:
                name, value = current
                if out.setdefault(name, value) != value:
                    return None
                current = self.sites[name].parent
        return out

    def avoiding(self, assignments: Iterable[Assignment]) -> Fraction:
        """The share of points that contain none of the assignments."""
        closed = (self.closed(a) for a in assignments)
        return self._avoiding([c for c in closed if c is not None])

    def _avoiding(self, sets: list[dict[str, Choice]]) -> Fraction:
        out = Fraction(1)
        for group in _independent(sets):
            out *= self._avoiding_group(group)
            if not out:
                break
        return out

    def _avoiding_group(self, sets: list[dict[str, Choice]]) -> Fraction:
        """As `_avoiding`, where every set shares choices with another."""
        if any(not s for s in sets):
            return Fraction(0)
        site = self.sites[min((name for s in sets for name in s), key=lambda name: self.sites[name].order)]
        values = {s[site.name] for s in sets if site.name in s}
        others = [s for s in sets if site.name not in s]
        out, rest = Fraction(0), Fraction(1)
        for value in values:
            chance = site.chance(value)
            rest -= chance
            left = [
                {name: v for name, v in s.items() if name != site.name}
                for s in sets
                if s.get(site.name, value) == value
            ]
            out += chance * self._avoiding(left)
        return out + (rest * self._avoiding(others) if rest else 0)


@dataclass(slots=True)
class _Finding:
    sites: dict[str, Site] = field(default_factory=dict)

    def look(self, line: Line, form: Form, parent: Made | None) -> None:
        if isinstance(form, OneOf | Numbers):
            site = Site(line, len(self.sites), form, parent)
            self.sites[site.name] = site
        if isinstance(form, OneOf):
            for label, inner in form.forms.items():
                self.look(line, inner, (form.domain.name, label))
        elif isinstance(form, Each):
            for copy in form.copies:
                self.look(line, copy, parent)
        elif isinstance(form, Around):
            for part in form.parts:
                self.look(line, part, parent)


def _independent(sets: list[dict[str, Choice]]) -> list[list[dict[str, Choice]]]:
    """The sets in groups, no choice in two of them."""
    groups: list[tuple[set[str], list[dict[str, Choice]]]] = []
    for one in sets:
        names, members = set(one), [one]
        apart = []
        for group in groups:
            if names.isdisjoint(group[0]):
                apart.append(group)
            else:
                names |= group[0]
                members = [*group[1], *members]
        groups = [*apart, (names, members)]
    return [members for _, members in groups]
