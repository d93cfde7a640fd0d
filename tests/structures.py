"""Which architectures are made of the same blocks, numbers aside: those are traced and compiled alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node


def one_of_each_structure(architectures: Iterable[Architecture]) -> Iterator[Architecture]:
    """The first of those that differ in numbers alone: widths, depths, rates, how many tokens."""
    seen = set()
    for architecture in architectures:
        structure = frozenset(_form(node) for _, node in architecture.top())
        if structure not in seen:
            seen.add(structure)
            yield architecture


def _form(node: Node) -> object:
    """An operator with its words, with which of its numbers are 0, and with what is inside it."""
    options = tuple(
        (name, bool(value) if isinstance(value, (int, float)) else repr(value)) for name, value in node.op
    )
    extras = tuple((extra.kind, extra.at) for extra in node.input.extras)
    return node.op.name, options, extras, bool(node.share), tuple(map(_form, node.parts))
