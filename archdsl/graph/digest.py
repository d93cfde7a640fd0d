"""The canonical digest of an architecture: equal digests mean equal functions, whatever the weights.

That holds for architectures built for the same image size: tables of learned positions are laid out for its
grid.

It covers the operators with their resolved parameters, how they are put together, widths, extra tokens, the
division into stages, channels and classes. It is blind to
- names: of the arch, its stages, mixers, blocks and parts; settings, spans, comments;
- how it was written: definitions inlined or not, chains in chains, repeats or a list of blocks;
- what only training sees: `drop_path`, initial weights, and the parameters that operators declare
  `training_only`;
- the image size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archdsl.features import Feature, Word
from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node
from archdsl.ops import Op

VERSION = "a2"
"""Changes whenever the digest of some architecture does."""

IDENTITIES = frozenset({"drop_path"})
"""Operators that do nothing outside training."""


def digest(architecture: Architecture) -> str:
    """`a2:` and 64 hexadecimal digits, the same on every machine and in every process."""
    return digest_of(_parts(architecture, Canonical()))


def training_digest(architecture: Architecture, form: Canonical | None = None) -> str:
    """A digest that sees what only training does too: equal ones train alike from the same seed.

    Beside the function computed it covers the image size, `init`, every `drop_path` with its rate, and the
    parameters that operators declare `training_only`. Names, layout and how a text was put together make no
    difference to it either.

    Args:
        architecture: checked.
        form: `Canonical(training=True)`, where several architectures have nodes in common.

    Returns:
        64 hexadecimal digits.
    """
    parts = _parts(architecture, form or Canonical(training=True))
    return training_digest_of(architecture.image, architecture.init, parts)


@dataclass(frozen=True, slots=True)
class StageForm:
    """A stage for digests: operators and rows of hashes from a `Canonical`, None for what is not there."""

    within: list[object] | None
    downsample: Sequence[str] | None
    blocks: Sequence[str]
    feature_norm: Sequence[str] | None


def composed(
    channels: int, classes: int, stem: Sequence[str], stages: Iterable[StageForm], head: Sequence[str] | None
) -> list[object]:
    """What is hashed of an architecture whose parts are given as rows of hashes."""
    rows = [[s.within, s.downsample, s.blocks, s.feature_norm] for s in stages]
    return [channels, classes, stem, *rows, head]


def digest_of(parts: list[object]) -> str:
    """See `digest`; `parts` are from `composed`."""
    return f"{VERSION}:{_hash(parts)}"


def training_digest_of(image: tuple[int, int], init: Word, parts: list[object]) -> str:
    """See `training_digest`; `parts` are from `composed`."""
    return _hash([list(image), str(init), parts])


def _hash(form: object) -> str:
    text = json.dumps(form, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _parts(architecture: Architecture, form: Canonical) -> list[object]:
    stages = (
        StageForm(
            None if stage.within is None else form.operator(stage.within),
            None if stage.downsample is None else form.top(stage.downsample),
            [h for block in stage.blocks for h in form.top(block)],
            None if stage.feature_norm is None else form.top(stage.feature_norm),
        )
        for stage in architecture.stages
    )
    head = None if architecture.head is None else form.top(architecture.head)
    return composed(architecture.channels, architecture.classes, form.top(architecture.stem), stages, head)


class Canonical:
    """Nodes as lists of hashes, one for each operator that stands in a row.

    Each distinct node object is hashed once, unless it stands inside a top node and weights are shared inside
    it: their keys are numbered in the order in which they occur in the top node. Nodes have to stay alive
    while this is used.

    Args:
        training: whether what only training sees is seen.
    """

    def __init__(self, *, training: bool = False) -> None:
        self._training = training
        self._tops: dict[int, list[str]] = {}
        self._known: dict[int, list[str]] = {}
        self._keys: dict[str, int] = {}
        self._lookups = 0

    def top(self, node: Node) -> list[str]:
        """A stem, a downsample, a block, a feature norm or a head: weights are shared inside it only."""
        found = self._tops.get(id(node))
        if found is None:
            self._keys.clear()
            found = self._tops[id(node)] = self._node(node)
        return found

    def sequence(self, nodes: Iterable[Node]) -> list[str]:
        return [h for node in nodes for h in self._node(node)]

    def _node(self, node: Node) -> list[str]:
        if node.op.name in IDENTITIES and not self._training:
            return []
        found = self._known.get(id(node))
        if found is not None:
            return found
        before = self._lookups
        share = None
        if node.share:
            self._lookups += 1
            share = self._keys.setdefault(node.share, len(self._keys))
        if node.op.name == "chain" and share is None:
            out = self.sequence(node.parts)
        else:
            parts: object
            if node.op.sequence:
                parts = self.sequence(node.parts)
            else:
                parts = [self.sequence([p]) for p in node.parts]
            form = [self.operator(node.op), share, _shape(node.input), _shape(node.output), parts]
            out = [_hash(form)]
        if self._lookups == before:
            self._known[id(node)] = out
        return out

    def operator(self, op: Op) -> list[object]:
        """Its name and what it was given."""
        hidden = set() if self._training else set(op.training_only)
        return [op.name, op.model_dump(mode="json", exclude=hidden)]


def _shape(x: Feature) -> list[object]:
    """What does not depend on the image: width, kind of grid, extra tokens."""
    return [x.dim, len(x.grid), [list(e) for e in x.extras]]
