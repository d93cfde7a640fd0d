"""From a space to its automaton: sections of the architecture put one behind the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from archdsl.diagnostics import DiagnosticError
from archdsl.features import Feature
from archdsl.graph.canonical import Canonical
from archdsl.graph.variation import Base, Change
from archdsl.graph.walk import Opening, Section, Walk
from archdsl.lang import to_text
from archdsl.lang import tree as t
from archdsl.nas.choosers import Noting, Odometer
from archdsl.nas.domains import Around, Each, Fixed, Form, Line, OneOf
from archdsl.nas.factored.labels import Entry, Head, Inside, Stem
from archdsl.nas.factored.layers import Layers, Own, Values, ways
from archdsl.nas.factored.states import Choices, Edge, Graph, State, Weight
from archdsl.nas.forms import terms
from archdsl.nas.references import filled

WRITTEN = 5_000
"""Ways to choose inside one value that is not taken apart, and in the settings of one stage."""
SECTIONS = 6_000
"""Sections that are built."""


class TooLargeError(Exception):
    """Raised where a space is not factored because of its size, with the reason for users."""


@dataclass(frozen=True, slots=True)
class _At:
    """A stage of an architecture, with its settings chosen and what enters it known.

    Args:
        walk, stage, changes, opening: see `Walk.block`.
        given: values that lines of its blocks may name.
        known: sections built here.
    """

    walk: Walk
    stage: str
    changes: tuple[Change, ...]
    opening: Opening
    given: Values
    known: dict[str, Section | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _First:
    """What is chosen before all stages.

    Args:
        number: of the way to choose it.
        walk: with the values of what acts on the whole architecture.
        values: those of lines inside stages.
    """

    number: int
    walk: Walk
    values: tuple[tuple[Line, t.Expr], ...]


@dataclass(slots=True)
class Weaver:
    """Builds the automaton of a space.

    Args:
        base: the unvaried architecture.
        layers: what is varied.
    """

    base: Base
    layers: Layers
    graph: Graph = field(default_factory=Graph)
    _sections: int = 0
    _canonical: Canonical = field(default_factory=Canonical)
    _stages: dict[tuple[int, int, Feature], State | None] = field(default_factory=dict)
    _written: dict[int, tuple[tuple[Choices, tuple[t.Expr, ...]], ...]] = field(default_factory=dict)
    _values: dict[str, t.Expr] = field(default_factory=dict)

    def start(self) -> State | None:
        """The state before the stem; None where no point compiles.

        Raises:
            TooLargeError: beyond the bounds of this module.
        """
        self._bounded()
        edges: list[Edge] = []
        for number, (choices, values) in enumerate(ways(self.layers.first, {})):
            above = [(line.path, value) for line, value in values if line in self.layers.above]
            inside = tuple((line, value) for line, value in values if line not in self.layers.above)
            try:
                walk = self.base.walk(above)
            except DiagnosticError:
                continue
            self._count()
            target = self._stage(_First(number, walk, inside), 0, walk.start)
            if target is not None:
                stem = walk.stem
                letter = Stem(walk.channels, walk.classes, walk.image, stem.form)
                edges.append(Edge(self.graph.token(letter), _weight(stem), choices, target))
        return self.graph.state(edges)

    def _bounded(self) -> None:
        most = SECTIONS // (len(self.layers.stages) + 2)
        counted = [("what acts on the whole architecture", self.layers.first, most)]
        for stage, own in self.layers.stages:
            counted.append((f"the settings of `{stage}`", tuple(own.settings), WRITTEN))
            counted.append((f"single blocks of `{stage}`", own.together, WRITTEN))
        for what, lines, most in counted:
            count = prod(line.form.count or 1 for line in lines)
            if count > most:
                raise TooLargeError(f"{what} can be chosen in {count:,} ways, more than {most:,}")

    def _count(self, number: int = 1) -> None:
        self._sections += number
        if self._sections > SECTIONS:
            raise TooLargeError(f"it has more than {SECTIONS:,} different parts")

    def _stage(self, first: _First, index: int, x: Feature) -> State | None:
        """What follows where a feature enters a stage, or the head behind the last one."""
        key = first.number, index, x
        if key not in self._stages:
            if index == len(self.layers.stages):
                self._stages[key] = self._head(first.walk, x)
            else:
                self._stages[key] = self._open(first, index, x)
        return self._stages[key]

    def _head(self, walk: Walk, x: Feature) -> State | None:
        try:
            head = walk.head(x)
        except DiagnosticError:
            return None
        self._count()
        token = self.graph.token(Head(head.form if head.nodes else None))
        return self.graph.state([Edge(token, _weight(head), (), self.graph.end)])

    def _open(self, first: _First, index: int, x: Feature) -> State | None:
        stage, own = self.layers.stages[index]
        fixed = tuple((line.path, value) for line, value in first.values if line in own.lifted)
        given = {line.path.steps: value for line, value in first.values}
        edges: list[Edge] = []
        for choices, values in ways(own.settings, given):
            changes = (*fixed, *((line.path, value) for line, value in values))
            try:
                opening = first.walk.opening(stage, changes, x)
            except DiagnosticError:
                continue
            self._count()
            target = self._stage(first, index + 1, opening.output)
            if target is not None:
                here = {**given, **{line.path.steps: value for line, value in values}}
                target = self._blocks(_At(first.walk, stage, changes, opening, here), own, target)
            if target is not None:
                edges.append(Edge(self.graph.token(_entry(opening)), _opened(opening), choices, target))
        return self.graph.state(edges)

    def _blocks(self, at: _At, own: Own, target: State) -> State | None:
        """All that the blocks of a stage may be, in front of what follows the stage."""
        if own.edited:
            return self._edits(at, own, target)
        if own.blocks is not None:
            return self._form(at, own.blocks.form, target)
        return self._as_written(at, (), target)

    def _edits(self, at: _At, own: Own, target: State) -> State | None:
        edges: list[Edge] = []
        for choices, values in ways(own.together, at.given):
            inner = self._as_written(at, [(line.path, value) for line, value in values], target)
            if inner is not None:
                edges.append(Edge(0, Weight(), choices, inner))
        return self.graph.state(edges)

    def _as_written(self, at: _At, changes: Sequence[Change], target: State) -> State | None:
        order = self.layers.order
        changes = sorted((*at.changes, *changes), key=lambda change: order[change[0].steps])
        try:
            sections = at.walk.written_blocks(at.stage, changes, at.opening)
        except DiagnosticError:
            return None
        self._count(len(sections))
        for section in reversed(sections):
            target = self._behind(at, section, target)
        return target

    def _behind(self, at: _At, section: Section, target: State) -> State:
        within = self._canonical.within(at.opening.within, at.opening.output)
        tokens = [self.graph.token(Inside(within, digits)) for digits in section.form]
        return self.graph.behind(tokens, _weight(section), target)

    def _form(self, at: _At, form: Form, target: State) -> State | None:
        """A value with choices in front of what follows it."""
        match form:
            case Fixed(expr=expr):
                return self._terms(at, terms(expr), target)
            case OneOf(domain=domain, forms=forms):
                edges: list[Edge] = []
                for label, inner in forms.items():
                    follows = self._form(at, inner, target)
                    if follows is not None:
                        edges.append(Edge(0, Weight(), ((domain.name, label),), follows))
                return self.graph.state(edges)
            case Each(copies=parts, joint="+") | Around(expr=t.Binary(operator="+"), parts=parts):
                state: State | None = target
                for part in reversed(parts):
                    state = None if state is None else self._form(at, part, state)
                return state
        edges = []
        for choices, values in self._ways(form):
            follows = self._terms(at, values, target)
            if follows is not None:
                edges.append(Edge(0, Weight(), choices, follows))
        return self.graph.state(edges)

    def _terms(self, at: _At, values: Sequence[t.Expr], target: State) -> State | None:
        state = target
        for expr in reversed(values):
            section = self._section(at, expr)
            if section is None:
                return None
            state = self._behind(at, section, state)
        return state

    def _section(self, at: _At, expr: t.Expr) -> Section | None:
        text = to_text(filled(expr, at.given))
        if text not in at.known:
            self._count()
            expr = self._values.setdefault(text, filled(expr, at.given))
            try:
                at.known[text] = at.walk.block(at.stage, at.changes, at.opening, expr)
            except DiagnosticError:
                at.known[text] = None
        return at.known[text]

    def _ways(self, form: Form) -> tuple[tuple[Choices, tuple[t.Expr, ...]], ...]:
        """Every way to choose in a value that is not taken apart."""
        found = self._written.get(id(form))
        if found is None:
            if (form.count or 0) > WRITTEN:
                raise TooLargeError(f"one block can be chosen in {form.count:,} ways, more than {WRITTEN:,}")
            found = self._written[id(form)] = tuple(_drawn(form))
        return found


def _drawn(form: Form) -> Iterator[tuple[Choices, tuple[t.Expr, ...]]]:
    odometer: Odometer | None = Odometer()
    while odometer is not None:
        noting = Noting(odometer)
        expr = form.draw(noting)
        yield tuple(noting.made.items()), tuple(terms(expr))
        odometer = odometer.next()


def _weight(section: Section) -> Weight:
    return Weight(section.params, section.macs.total, section.memory, section.operators)


def _entry(opening: Opening) -> Entry:
    down, norm = opening.downsample, opening.feature_norm
    return Entry(() if down is None else down.form, () if norm is None else norm.form)


def _opened(opening: Opening) -> Weight:
    total = Weight()
    for section in (opening.downsample, opening.feature_norm):
        if section is not None:
            total = total.plus(_weight(section))
    return total
