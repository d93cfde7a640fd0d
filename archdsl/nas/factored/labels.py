"""Labels: what the digest of an architecture covers, letter by letter."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from archdsl.graph.digest import StageForm, digest_of


@dataclass(frozen=True, slots=True)
class Stem:
    """The first letter; the size of images is told apart too, as costs depend on it."""

    channels: int
    classes: int
    image: tuple[int, int]
    form: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """The first letter of a stage; behind it stand those of its blocks.

    Args:
        downsample, feature_norm: their hashes.
    """

    downsample: tuple[str, ...]
    feature_norm: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inside:
    """A letter of a block.

    Args:
        within: the hash of the operator that cuts the stage into windows; it counts where there are blocks.
        hash: an operator.
    """

    within: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last letter."""

    form: tuple[str, ...] | None


@dataclass(slots=True)
class _Stage:
    entry: Entry
    within: str = ""
    blocks: list[str] = field(default_factory=list)


def digest_of_label(letters: Iterable[Hashable]) -> str:
    """The digest of the architecture with a label; see `archdsl.graph.digest.digest`.

    Raises:
        ValueError: where the letters are no label.
    """
    stem: Stem | None = None
    stages: list[_Stage] = []
    for letter in letters:
        match letter:
            case Stem():
                stem = letter
            case Entry():
                stages.append(_Stage(letter))
            case Inside(within=within, hash=digits):
                stages[-1].within = within
                stages[-1].blocks.append(digits)
            case Head(form=form) if stem is not None:
                rows = [
                    StageForm(s.within, s.entry.downsample, s.blocks, s.entry.feature_norm) for s in stages
                ]
                return digest_of(stem.channels, stem.classes, stem.form, rows, form)
    raise ValueError("a label begins with a stem and ends with a head")
