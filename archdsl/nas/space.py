"""The space of a search: choices in the values of paths, points in it, and what a point stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from archdsl.graph.architecture import Architecture
from archdsl.tasks import Task

Choice = str | int | float
Point = Mapping[str, Choice]
"""The choices that were made, by name of the choice: a label of an alternative, or a number of a range.
Choices inside alternatives that were not taken are absent. JSON as it is."""


@dataclass(frozen=True, slots=True)
class Alternatives:
    """A choice between values, `one_of(a, b)`; the labels are their texts, all different."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """A choice of a number: `low .. high`, both included; `step` is None for real numbers."""

    name: str
    low: float
    high: float
    step: float | None
    log: bool
    whole: bool


Domain = Alternatives | Interval


class Chooser(Protocol):
    """Makes one choice after another: a sampler, an enumeration, a point that is known."""

    def choose(self, domain: Domain) -> Choice:
        """One of the values of the domain."""
        ...


class Space(Protocol):
    """All points of a search."""

    @property
    def count(self) -> int | None:
        """How many points there are; None where real numbers make it infinite."""
        ...

    def draw(self, chooser: Chooser) -> Point:
        """A point; the chooser is asked for every choice that occurs, in a fixed order."""
        ...

    def points(self) -> Iterator[Point]:
        """All points, ranges of real numbers excepted, in a fixed order.

        Raises:
            ValueError: where the space is infinite.
        """
        ...


class Told(Protocol):
    """An architecture of a space, told apart from all others."""

    @property
    def point(self) -> Point:
        """One that stands for it."""
        ...

    @property
    def tokens(self) -> tuple[int, ...]:
        """Equal for equal architectures."""
        ...


class Whole(Protocol):
    """All architectures of a space that compile, told apart, whatever only training sees of them."""

    @property
    def distinct(self) -> int | None:
        """How many there are; None where they can't be told apart."""
        ...

    def sample(self, random: Random) -> Told | None:
        """One of those that meet what is required, each as likely; None where none is found."""
        ...

    def enumerate(self) -> Iterator[Told]:
        """Each of those that meet what is required, once."""
        ...

    def locate(self, point: Point) -> Told | None:
        """The one that a point stands for; None where it does not compile."""
        ...


class Built(Protocol):
    """What is made of a candidate when it is asked for first."""

    @property
    def key(self) -> str:
        """See `Candidate`."""
        ...

    @property
    def architecture(self) -> Architecture:
        """Checked."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a point stands for.

    Args:
        point: its choices.
        changes: paths with their values as text of the language, `{"s3.blocks": "scan + attn"}`; those of
            `train.` too.
        task: with the varied fields.
        params: exact.
        macs: exact, for one image.
        built: makes its key and its architecture.
        predicted: seconds by `Objective.text`, for objectives with a table of block times.
    """

    point: Point
    changes: Mapping[str, str]
    task: Task
    params: int
    macs: int
    built: Built = field(compare=False, repr=False)
    predicted: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal keys give equal values, see `archdsl.nas.trial_key.trial_key`."""
        return self.built.key

    @property
    def architecture(self) -> Architecture:
        """Checked; made when it is asked for first."""
        return self.built.architecture


@dataclass(frozen=True, slots=True)
class Refusal:
    """A point that is not evaluated, with the reason for users.

    Args:
        violation: how far the first unmet comparison is off, relative to its bound; 1 where that says
            nothing.
    """

    point: Point
    changes: Mapping[str, str]
    reason: str
    violation: float


class Candidates(Protocol):
    """From points and changes to candidates."""

    def at(self, point: Point) -> Candidate | Refusal:
        """What a point stands for; refused where a shape does not fit or `require` is not met."""
        ...

    def with_changes(self, changes: Mapping[str, str]) -> Candidate:
        """A variant of the base, for a claim.

        Raises:
            DiagnosticError: where it can't be.
        """
        ...
