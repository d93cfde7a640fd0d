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
from collections.abc import Iterable

from archdsl.features import Feature
from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node
from archdsl.ops import Op

VERSION = "a1"
"""Changes whenever the digest of some architecture does."""

IDENTITIES = frozenset({"drop_path"})
"""Operators that do nothing outside training."""


def digest(architecture: Architecture) -> str:
    """`a1:` and 64 hexadecimal digits, the same on every machine and in every process."""
    form = _Canonical()
    parts: list[object] = [
        architecture.channels,
        architecture.classes,
        form.top(architecture.stem),
    ]
    for stage in architecture.stages:
        parts.append(
            [
                None if stage.within is None else _operator(stage.within),
                None if stage.downsample is None else form.top(stage.downsample),
                [h for block in stage.blocks for h in form.top(block)],
            ]
        )
    parts.append(None if architecture.head is None else form.top(architecture.head))
    text = json.dumps(parts, separators=(",", ":"), sort_keys=True)
    return f"{VERSION}:{hashlib.sha256(text.encode()).hexdigest()}"


class _Canonical:
    """Nodes as lists of hashes, one for each operator that stands in a row.

    Each distinct node object is hashed once, unless it stands inside a top node and weights are shared inside
    it: their keys are numbered in the order in which they occur in the top node.
    """

    def __init__(self) -> None:
        self._tops: dict[int, list[str]] = {}
        self._known: dict[int, list[str]] = {}
        self._keys: dict[str, int] = {}
        self._lookups = 0

    def top(self, node: Node) -> list[str]:
        """A stem, a downsample, a block or a head: weights are shared inside it only."""
        found = self._tops.get(id(node))
        if found is None:
            self._keys.clear()
            found = self._tops[id(node)] = self._node(node)
        return found

    def sequence(self, nodes: Iterable[Node]) -> list[str]:
        return [h for node in nodes for h in self._node(node)]

    def _node(self, node: Node) -> list[str]:
        if node.op.name in IDENTITIES:
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
            form = [_operator(node.op), share, _shape(node.input), _shape(node.output), parts]
            text = json.dumps(form, separators=(",", ":"), sort_keys=True)
            out = [hashlib.sha256(text.encode()).hexdigest()]
        if self._lookups == before:
            self._known[id(node)] = out
        return out


def _operator(op: Op) -> list[object]:
    return [op.name, op.model_dump(mode="json", exclude=set(op.training_only))]


def _shape(x: Feature) -> list[object]:
    """What does not depend on the image: width, kind of grid, extra tokens."""
    return [x.dim, len(x.grid), [list(e) for e in x.extras]]
