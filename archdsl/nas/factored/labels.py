"""Labels: what the digest of an architecture covers, letter by letter."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from archdsl.graph.digest import StageForm, composed, digest_of


@dataclass(frozen=True, slots=True)
class Stem:
    """The first letter; the size of images is told apart too, as costs depend on it."""

    channels: int
    classes: int
    image: tuple[int, int]
    form: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """The first letter of a stage; behind it stand the hashes of its blocks.

    Args:
        within: the form of the operator that cuts the stage into windows, as JSON.
        downsample, feature_norm: their hashes.
    """

    within: str | None
    downsample: tuple[str, ...] | None
    feature_norm: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Head:
    """The last letter."""

    form: tuple[str, ...] | None


def digest_of_label(letters: Iterable[Hashable]) -> str:
    """The digest of the architecture with a label; see `archdsl.graph.digest.digest`.

    Raises:
        ValueError: where the letters are no label.
    """
    stem: Stem | None = None
    stages: list[tuple[Entry, list[str]]] = []
    for letter in letters:
        match letter:
            case Stem():
                stem = letter
            case Entry():
                stages.append((letter, []))
            case str():
                stages[-1][1].append(letter)
            case Head(form=form) if stem is not None:
                rows = [
                    StageForm(
                        None if entry.within is None else json.loads(entry.within),
                        entry.downsample,
                        blocks,
                        entry.feature_norm,
                    )
                    for entry, blocks in stages
                ]
                return digest_of(composed(stem.channels, stem.classes, stem.form, rows, form))
    raise ValueError("a label begins with a stem and ends with a head")
