"""A space as an automaton: counted, told apart, drawn from and costed without building its points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from archdsl.graph.architecture import Architecture
from archdsl.graph.variation import Base
from archdsl.graph.walk import MAX_BLOCKS, MAX_PARAMETERS
from archdsl.nas.choosers import Drawn as Drawing
from archdsl.nas.choosers import Known, Noting, Pinned
from archdsl.nas.conditions import Requirement, metrics_in
from archdsl.nas.domains import VariedSpace
from archdsl.nas.factored.anatomy import Anatomy, Made
from archdsl.nas.factored.bounds import Decide, decision
from archdsl.nas.factored.conflicts import Conflicts, conflicts
from archdsl.nas.factored.counts import by_choice, paths
from archdsl.nas.factored.distinct import Distinct, Label, distinct
from archdsl.nas.factored.labels import digest_of_label
from archdsl.nas.factored.layers import Layers, layers
from archdsl.nas.factored.ranges import Ranges, ranges
from archdsl.nas.factored.share import Share, share
from archdsl.nas.factored.states import Graph, State, Weight, upwards
from archdsl.nas.factored.weaving import TooLargeError, Weaver
from archdsl.nas.space import Alternatives, Choice, Chooser, Domain, Point

TRIES = 100_000
"""Architectures that are drawn until one meets what is required."""


@dataclass(frozen=True)
class Drawn:
    """An architecture of a space that compiles.

    Args:
        space: it is of.
        choices: those of the architecture.
        task: those of the task.
        params, macs: for one image.
        tokens: the letters of its label.
    """

    space: FactoredSpace
    choices: Mapping[str, Choice]
    task: Mapping[str, Choice]
    params: int
    macs: int
    tokens: tuple[int, ...]

    @cached_property
    def point(self) -> Point:
        """All its choices, in the order in which the search writes them."""
        noting = Noting(Known({**self.choices, **self.task}))
        for line in self.space.space.lines:
            line.form.draw(noting)
        return noting.made

    @cached_property
    def memory(self) -> int:
        """Bytes that training keeps for an image; see `archdsl.graph.cost.Cost`."""
        return self.architecture.cost().activation_bytes

    @cached_property
    def digest(self) -> str:
        """See `archdsl.graph.digest`."""
        return digest_of_label(map(self.space.graph.letter, self.tokens))

    @cached_property
    def architecture(self) -> Architecture:
        """Checked."""
        values = self.space.space.values(self.point)
        return self.space.base.at([(line.path, value) for line, value in values if line.field is None])


@dataclass(frozen=True)
class FactoredSpace:
    """All points of a search at once; see `of`.

    Args:
        base: the unvaried architecture.
        space: what is varied.
        requirements: what an architecture has to meet.
        layers: its lines by what they act on.
        graph: the automaton.
        start: of the automaton; None where no point compiles.
    """

    base: Base
    space: VariedSpace
    requirements: tuple[Requirement, ...]
    layers: Layers
    graph: Graph
    start: State | None

    @classmethod
    def of(
        cls, base: Base, space: VariedSpace, requirements: Sequence[Requirement] = ()
    ) -> FactoredSpace | str:
        """Takes a space apart, or tells why it can't be.

        A space factors where every text of the architecture acts on all of it, on one stage, or on blocks of
        one stage, and where no range of real numbers is among them. Ranges of the task do not matter.
        """
        found = layers(base, space.lines)
        if isinstance(found, str):
            return found
        try:
            weaver = Weaver(base, found)
            start = weaver.start()
        except TooLargeError as error:
            return str(error)
        if start is not None and (reason := _bounded(ranges(start))) is not None:
            return reason
        return cls(base, space, tuple(requirements), found, weaver.graph, start)

    @property
    def points(self) -> int:
        """How many points there are, the choices of the task left out."""
        return self.layers.architecture.count or 0

    @cached_property
    def compiling(self) -> int:
        """How many of them compile."""
        return 0 if self.start is None else paths(self.start)

    @cached_property
    def chosen(self) -> Mapping[Made, int]:
        """For every choice how many points that compile make it; those that never do are left out."""
        return {} if self.start is None else by_choice(upwards(self.start))

    def points_with(self, made: Made) -> int:
        """How many points make a choice."""
        return self.points - int(self.points * self.anatomy.avoiding([frozenset({made})]))

    @cached_property
    def architectures(self) -> Distinct | None:
        """Those that compile, told apart by digest and image size; None where that takes too many steps."""
        return None if self.start is None else distinct(self.start)

    @property
    def distinct(self) -> int | None:
        """How many different architectures compile; None where telling them apart takes too many steps."""
        if self.start is None:
            return 0
        return None if self.architectures is None else self.architectures.count

    @cached_property
    def ranges(self) -> Ranges | None:
        """What the architectures that compile cost; None where none does."""
        return None if self.start is None else ranges(self.start)

    @cached_property
    def share(self) -> Share | None:
        """How many different architectures meet the requirements; None where they can't be told apart."""
        return None if self.architectures is None else self.share_of(self.requirements)

    def share_of(self, requirements: Sequence[Requirement]) -> Share:
        """As `share`, for some requirements.

        Raises:
            ValueError: where the architectures can't be told apart.
        """
        if self.architectures is None:
            raise ValueError("the architectures of this space are not told apart")
        conditions = [requirement.line.condition for requirement in requirements]
        metrics = frozenset(name for condition in conditions for name in metrics_in(condition))
        return share(self.architectures, decision(requirements), metrics)

    @cached_property
    def conflicts(self) -> Conflicts:
        """Why points do not compile; nothing where all do, or none."""
        if self.start is None:
            return Conflicts((), self.points)
        return conflicts(self.start, self.layers.architecture, self.anatomy)

    @cached_property
    def anatomy(self) -> Anatomy:
        """The choices of the architecture."""
        return Anatomy.of(self.layers.lines())

    def sample(self, random: Random) -> Drawn | None:
        """One of the different architectures that meet the requirements, each as likely as any other.

        Args:
            random: draws it, and the choices of the task.

        Returns:
            None where none was found among `TRIES`, and where the architectures can't be told apart.
        """
        if self.architectures is None:
            return None
        for _ in range(TRIES):
            label = self.architectures.draw(random)
            if self.meets(label):
                return self._drawn(label, Drawing(random, {}))
        return None

    def enumerate(self) -> Iterator[Drawn]:
        """All different architectures that meet the requirements, each once; of the task the first choices.

        Raises:
            ValueError: where the architectures can't be told apart.
        """
        if self.start is None:
            return
        if self.architectures is None:
            raise ValueError("the architectures of this space are not told apart")
        for label in self.architectures:
            if self.meets(label):
                yield self._drawn(label, Pinned({}))

    def locate(self, point: Point) -> Drawn | None:
        """What a point stands for; None where it does not compile.

        Raises:
            KeyError: where the point lacks a choice, or has one that the space does not know.
        """
        known = Noting(_Nearest(Known(point)))
        for line in self.layers.lines():
            line.form.draw(known)
        try:
            weight, tokens = self.path(known.made)
        except LookupError:
            return None
        task = Noting(Known(point))
        for line in self.layers.task:
            line.form.draw(task)
        return Drawn(self, known.made, task.made, weight.params, weight.macs, tokens)

    def path(self, made: Mapping[str, Choice]) -> tuple[Weight, tuple[int, ...]]:
        """The cost of choices that are known, and their label.

        Raises:
            LookupError: where they do not compile.
        """
        state, total = self.start, Weight()
        tokens: list[int] = []
        while state is not None and state.edges:
            for edge in state.edges:
                if all(made.get(name) == value for name, value in edge.choices):
                    break
            else:
                raise LookupError("these choices do not compile")
            total = total.plus(edge.weight)
            if edge.token:
                tokens.append(edge.token)
            state = edge.target
        if state is None:
            raise LookupError("no choices compile")
        return total, tuple(tokens)

    def _drawn(self, label: Label, chooser: Chooser) -> Drawn:
        task = Noting(chooser)
        for line in self.layers.task:
            line.form.draw(task)
        return Drawn(self, dict(label.choices), task.made, label.params, label.macs, label.tokens)

    def meets(self, label: Label) -> bool:
        """Whether an architecture meets the requirements."""
        return self._decide((label.params, label.params, label.macs, label.macs)) is True

    @cached_property
    def _decide(self) -> Decide:
        return decision(self.requirements)


def _bounded(found: Ranges) -> str | None:
    """Why architectures may be refused for their size as a whole."""
    if found.operators.high > MAX_BLOCKS:
        return f"some architectures have more than {MAX_BLOCKS:,} operators"
    if found.params.high > MAX_PARAMETERS:
        return f"some architectures have more than {MAX_PARAMETERS:,} parameters"
    return None


@dataclass(frozen=True, slots=True)
class _Nearest:
    """Makes the choices of another, numbers moved to the nearest step of their range."""

    chooser: Chooser

    def choose(self, domain: Domain) -> Choice:
        """The value nearest to the other's."""
        choice = self.chooser.choose(domain)
        if isinstance(domain, Alternatives) or domain.step is None:
            return choice
        last = round((domain.high - domain.low) / domain.step)
        which = min(max(round((float(choice) - domain.low) / domain.step), 0), last)
        n = domain.low + which * domain.step
        return round(n) if domain.whole else n
