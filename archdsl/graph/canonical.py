"""Nodes in canonical form: what they compute, without how they were written."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

from archdsl.features import Extra, Feature
from archdsl.graph.node import Node, total_params
from archdsl.ops import Op
from archdsl.ops.drop_path import DropPath

BLOCK = "|"
"""Stands before every block in the form of training."""
RAMPED = "/"
"""Stands there instead where the block drops paths at a rate that grows with depth."""


class Canonical:
    """Nodes as tuples of hashes, one for each operator that stands in a row.

    Each distinct node object is hashed once, unless weights are shared inside it: their keys are
    numbered within the operator that holds all uses of them. Nodes have to stay alive while this is used.

    Args:
        training: whether what only training sees is seen.
    """

    def __init__(self, *, training: bool = False) -> None:
        self._training = training
        self._tops: dict[int, tuple[str, ...]] = {}
        self._blocks: dict[int, tuple[str, ...]] = {}
        self._known: dict[int, tuple[str, ...]] = {}
        self._within: dict[tuple[Op, Feature], str] = {}
        self._uses: Counter[str] = Counter()

    def top(self, node: Node) -> tuple[str, ...]:
        """A stem, a downsample, a feature norm or a head: weights are shared inside it only."""
        found = self._tops.get(id(node))
        if found is None:
            found = self._tops[id(node)] = self._top(node)
        return found

    def block(self, node: Node) -> tuple[str, ...]:
        """A block of a stage; for training with a mark before it."""
        if not self._training:
            return self.top(node)
        found = self._blocks.get(id(node))
        if found is None:
            mark = RAMPED if any(_is_ramped(inside.op) for inside in node.walk()) else BLOCK
            found = self._blocks[id(node)] = (mark, *self.top(node))
        return found

    def within(self, op: Op | None, x: Feature) -> str:
        """The operator that cuts a stage of the feature `x` into windows, '' where there is one window."""
        if op is None:
            return ""
        found = self._within.get((op, x))
        if found is None:
            found = "" if op.transparent(x, 0) else _hash(self._operator(op, x))
            self._within[op, x] = found
        return found

    def _top(self, node: Node) -> tuple[str, ...]:
        self._uses = _shared_uses(node)
        numbers: dict[str, int] = {}
        out = self._node(node, numbers)
        return (_hash(["top", out]),) if numbers else out

    def _sequence(self, nodes: Iterable[Node], numbers: dict[str, int]) -> tuple[str, ...]:
        return tuple(h for node in nodes for h in self._node(node, numbers))

    def _node(self, node: Node, numbers: dict[str, int]) -> tuple[str, ...]:
        """A node's hashes.

        Args:
            numbers: the keys of shared weights met so far in the operator around it, numbered.
        """
        found = self._known.get(id(node))
        if found is None:
            inside = self._keys_inside(node)
            found = self._form(node, inside, numbers)
            if not inside:
                self._known[id(node)] = found
        return found

    def _form(self, node: Node, inside: Counter[str], numbers: dict[str, int]) -> tuple[str, ...]:
        op, x = node.op, node.input
        if not self._training and (isinstance(op, DropPath) or op.vanishes(x)):
            return ()
        share = None
        if node.share in self._uses:
            share = numbers.setdefault(node.share, len(numbers))
        elif op.transparent(x, len(node.parts)) and (op.sequence or not self._training):
            return self._sequence(node.parts, numbers)
        if inside and all(self._uses[key] == count for key, count in inside.items()):
            numbers = {}
        parts: list[tuple[str, ...]]
        if op.sequence:
            parts = [self._sequence(node.parts, numbers)]
        else:
            parts = [self._node(part, numbers) for part in node.parts]
        if op.hollow and not any(parts) and (op.sequence or not self._training):
            return ()
        return (_hash([self._operator(op, x), share, _shape(x), _shape(node.output), parts]),)

    def _keys_inside(self, node: Node) -> Counter[str]:
        """Keys of weights that are shared, and how often they occur in a node."""
        if not self._uses:
            return _NONE
        return Counter(inside.share for inside in node.walk() if inside.share in self._uses)

    def _operator(self, op: Op, x: Feature) -> list[object]:
        """Its name and what it was given, as far as that counts."""
        hidden = set() if self._training else set(op.training_only)
        return [op.name, op.canonical(x).model_dump(mode="json", exclude=hidden)]


_NONE: Counter[str] = Counter()


def _is_ramped(op: Op) -> bool:
    return isinstance(op, DropPath) and op.rate is None and op.drop_path > 0


def _shared_uses(top: Node) -> Counter[str]:
    """Keys of weights that several nodes in a top node share, and how many do.

    Left out are those of nodes that have nothing to share.
    """
    uses: Counter[str] = Counter()
    without: set[str] = set()
    for node in top.walk():
        if node.share:
            uses[node.share] += 1
            if not _has_state(node):
                without.add(node.share)
    return Counter({key: count for key, count in uses.items() if count > 1 and key not in without})


def _has_state(node: Node) -> bool:
    """Whether there are weights in it, or may be buffers of an operator from outside."""
    if total_params((node,)):
        return True
    return any(not inside.op.module.startswith(_OURS) for inside in node.walk())


_OURS = ("archdsl.", "torch.nn:")


def _shape(x: Feature) -> list[object]:
    """What does not depend on the image: width, kind of grid, extra tokens."""
    return [x.dim, len(x.grid), [_extra(e) for e in x.extras]]


def _extra(extra: Extra) -> list[object]:
    """One token alone is behind half of the patches, spread evenly or put in the middle."""
    at = "middle" if extra.count == 1 and extra.at == "even" else extra.at
    return [extra.kind, extra.count, at]


def _hash(form: object) -> str:
    text = json.dumps(form, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
