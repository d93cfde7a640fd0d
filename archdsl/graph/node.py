"""Nodes of the graph: an operator with what goes in, what comes out, and what stands inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from archdsl.diagnostics import Span
from archdsl.features import Feature
from archdsl.ops import Macs, Op, unique


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a parameter came from.

    Args:
        kind: `given`, `stage`, `arch`, `default` or `ambient`.
        span: the text it was read from, where there is one.
    """

    kind: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A call of a definition or an operator with all its values.

    Args:
        callee: the name called.
        values: each parameter with its value as text of the language and the value's origin.
        span: the call.
    """

    callee: str
    values: tuple[tuple[str, str, Origin], ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Node:
    """One operator in place.

    Args:
        op: the operator, its parameters resolved.
        name: as written where it stands (`norm`, `mixing`); `names()` of the parent makes it unique.
        input, output: shapes for one image (or one window, see `Feature.windows`).
        parts: what stands inside, in order of use; the elements of the chain for a sequence.
        calls: the calls that led here, outermost first (`mamba`, `gated`); empty where nobody called by name.
        share: nodes of one top node with the same key have one set of weights (`shared`); '' for none.
        span: the text it comes from.
    """

    op: Op
    name: str
    input: Feature
    output: Feature
    parts: tuple[Node, ...] = ()
    calls: tuple[BoundCall, ...] = field(default=(), compare=False)
    share: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)

    def names(self) -> tuple[str, ...]:
        """Unique names of the parts: those of their modules."""
        return unique(self.op.part_names(tuple(p.name for p in self.parts)))

    def walk(self) -> Iterator[Node]:
        """This node and all nodes inside it, in order of use."""
        yield self
        for part in self.parts:
            yield from part.walk()


Build = Callable[[Feature], Node]
"""A part not built yet: give it what it receives."""


def make_node(op: Op, x: Feature, builds: Sequence[Build] = (), *, name: str = "") -> Node:
    """An operator put behind `x`: runs the shape rule, builds the parts as often as the rule calls them.

    A chain without a call of its own is spliced into the sequence around it.

    Raises:
        ShapeError: from the shape rule.
    """
    op = op.resolved(x)
    built: list[Node] = []

    def recorded(build: Build) -> Callable[[Feature], Feature]:
        def infer(f: Feature) -> Feature:
            node = build(f)
            built.append(node)
            return node.output

        return infer

    y = op.infer(x, *(recorded(b) for b in builds))
    parts = tuple(built)
    if op.sequence:
        parts = tuple(q for p in parts for q in (p.parts if p.op.name == "chain" and not p.calls else (p,)))
    return Node(op, name or op.name, x, y, parts)


def own_params(node: Node) -> int:
    """Parameters of the node's operator, parts not counted."""
    return node.op.params(node.input, node.output)


def own_macs(node: Node) -> Macs:
    """Multiply-accumulates of one image in the node's operator, parts not counted."""
    return node.op.macs(node.input, node.output) * node.input.windows


def total_params(nodes: Sequence[Node], seen: set[str] | None = None) -> int:
    """Parameters of nodes and all that stands inside them; weights shared inside one of the nodes count once.

    Args:
        nodes: top nodes of an architecture.
        seen: keys of shared weights counted already, for the parts of one top node.
    """
    total = 0
    for node in nodes:
        counted = set() if seen is None else seen
        if node.share:
            if node.share in counted:
                continue
            counted.add(node.share)
        total += own_params(node) + total_params(node.parts, counted)
    return total


def total_macs(nodes: Sequence[Node]) -> Macs:
    """Multiply-accumulates of one image in nodes and all that stands inside them."""
    total = Macs()
    for node in nodes:
        total = total + own_macs(node) + total_macs(node.parts)
    return total


def named(node: Node, name: str) -> Node:
    """The same node under another name."""
    return node if node.name == name else replace(node, name=name)
