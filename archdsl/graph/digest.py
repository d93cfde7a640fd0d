"""The canonical digest of an architecture: equal digests mean equal functions, whatever the weights.

Two architectures built for the same image size that have one digest compute the same function of images of
that size, stage by stage, and have the same tensors in the same order: what one has learned can be given to
the other.

The digest is made of what `Canonical` makes of each top node, so it is blind to names, to how a text was put
together, to what only training sees, and to settings that change nothing; docs/language.md lists the rewrites
that keep it. Operators say themselves what of them counts, see `Op.canonical` and `Op.transparent`.

The image size is not seen itself. Where a setting changes nothing on the maps of one size (`pad(4)`, windows
as large as the map), digests of the architecture at several sizes may differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import gcd

from archdsl.features import Word
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.canonical import BLOCK, RAMPED, Canonical
from archdsl.graph.recipes import init_arguments

VERSION = "a3"
"""Changes whenever the digest of some architecture does."""


@dataclass(frozen=True, slots=True)
class StageForm:
    """What `Canonical` makes of a stage.

    Args:
        within: of the operator that cuts it into windows, '' without one.
        downsample, feature_norm: () without one.
        blocks: of all blocks behind each other, each from `Canonical.block`.
    """

    within: str
    downsample: tuple[str, ...]
    blocks: Sequence[str]
    feature_norm: tuple[str, ...]


def digest(architecture: Architecture) -> str:
    """`a3:` and 64 hexadecimal digits, the same on every machine and in every process."""
    form = Canonical()
    a = architecture
    head = None if a.head is None else form.top(a.head)
    return digest_of(a.channels, a.classes, form.top(a.stem), _stages(a, form), head)


def digest_of(
    channels: int,
    classes: int,
    stem: tuple[str, ...],
    stages: Iterable[StageForm],
    head: tuple[str, ...] | None,
) -> str:
    """The digest of an architecture from what `Canonical()` makes of its parts; None for no head."""
    lines = _lines(channels, classes, stem, stages, head)
    return f"{VERSION}:{hashlib.sha256(lines.encode()).hexdigest()}"


def training_digest(architecture: Architecture, form: Canonical | None = None) -> str:
    """A digest that sees what only training does too: equal ones train alike from the same seed.

    Beside the function computed it covers the image size, `init` with its numbers, every `drop_path` with the
    rate that it has at its depth, and the parameters that operators declare `training_only`. Names, layout
    and how a text was put together make no difference to it either. Operators that do nothing are left out
    only where initial weights don't depend on them.

    Args:
        architecture: checked.
        form: `Canonical(training=True)`, where several architectures have nodes in common.

    Returns:
        64 hexadecimal digits.
    """
    form = form or Canonical(training=True)
    a = architecture
    head = None if a.head is None else form.top(a.head)
    stem = form.top(a.stem)
    start = training_start(a.image, a.init)
    return training_digest_of(start, a.channels, a.classes, stem, _stages(a, form), head)


def training_start(image: tuple[int, int], init: Word) -> str:
    """What the digest of training sees beside nodes: the image, and the initial weights."""
    height, width = image
    return f"{height} {width} {init.name} {' '.join(map(repr, init_arguments(init)))}"


def training_digest_of(
    start: str,
    channels: int,
    classes: int,
    stem: tuple[str, ...],
    stages: Iterable[StageForm],
    head: tuple[str, ...] | None,
) -> str:
    """The digest of training from `training_start` and what `Canonical(training=True)` makes of its parts."""
    lines = _lines(channels, classes, stem, _ramped(tuple(stages)), head)
    return hashlib.sha256(f"{start}\n{lines}".encode()).hexdigest()


def _stages(architecture: Architecture, form: Canonical) -> Iterator[StageForm]:
    return (_stage(stage, form) for stage in architecture.stages)


def _stage(stage: Stage, form: Canonical) -> StageForm:
    return StageForm(
        form.within(stage.within, stage.feature),
        () if stage.downsample is None else form.top(stage.downsample),
        tuple(chain.from_iterable(form.block(block) for block in stage.blocks)),
        () if stage.feature_norm is None else form.top(stage.feature_norm),
    )


def _lines(
    channels: int,
    classes: int,
    stem: tuple[str, ...],
    stages: Iterable[StageForm],
    head: tuple[str, ...] | None,
) -> str:
    """One line for the widths at both ends, one for the stem, four for each stage, one for the head."""
    out = [f"{channels} {0 if head is None else classes}", " ".join(stem)]
    for stage in stages:
        out.append(" ".join(stage.downsample))
        out.append(stage.within if stage.blocks else "")
        out.append(" ".join(stage.blocks))
        out.append(" ".join(stage.feature_norm))
    out.append("none" if head is None else " ".join(head))
    return "\n".join(out)


def _ramped(stages: Sequence[StageForm]) -> Iterator[StageForm]:
    """The stages without the marks between blocks, but for the depth of those that drop paths by it."""
    marks = [token for stage in stages for token in stage.blocks if token in _MARKS]
    last = len(marks) - 1
    at = -1
    for stage in stages:
        blocks = []
        for token in stage.blocks:
            if token in _MARKS:
                at += 1
                if token == RAMPED:
                    blocks.append(_share(at, last))
            else:
                blocks.append(token)
        yield StageForm(stage.within, stage.downsample, blocks, stage.feature_norm)


_MARKS = frozenset({BLOCK, RAMPED})


def _share(at: int, last: int) -> str:
    """The part of the rate that block `at` has, as a fraction in lowest terms."""
    by = gcd(at, last) or 1
    return f"{at // by}/{last // by}"
