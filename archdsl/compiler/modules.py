"""From a node of the graph to its module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from torch import nn

from archdsl.graph.node import Node
from archdsl.ops import unique


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A node with the module that was built for it.

    Args:
        node: from the checked graph.
        module: its module, those of the parts inside.
        parts: the node's parts in order, each with its module.
    """

    node: Node
    module: nn.Module
    parts: tuple[Placed, ...] = ()

    def walk(self) -> Iterator[Placed]:
        """This one and all inside it, in order of use."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def own_modules(self) -> Iterator[nn.Module]:
        """The module and what it made itself: modules of parts, and all below them, are left out."""
        inside = {id(part.module) for part in self.parts}

        def below(module: nn.Module) -> Iterator[nn.Module]:
            yield module
            for child in module.children():
                if id(child) not in inside:
                    yield from below(child)

        return below(self.module)


def place(node: Node, shared: dict[str, Placed] | None = None) -> Placed:
    """Builds the module of a node, parts included.

    Args:
        node: from the checked graph.
        shared: what was built for shared nodes so far, by key; one mapping for each top node.
    """
    shared = {} if shared is None else shared
    if node.share and node.share in shared:
        return shared[node.share]
    where, _, name = node.op.module.partition(":")
    constructor = getattr(import_module(where), name)
    arguments = node.op.arguments(node.input, node.output)
    parts = tuple(place(p, shared) for p in node.parts)
    if node.parts or node.op.parts:
        names = unique([attribute(constructor, n) for n in node.names()])
        arguments["parts"] = {n: p.module for n, p in zip(names, parts, strict=True)}
    module = constructor(**arguments)
    if not isinstance(module, nn.Module):
        raise TypeError(f"{node.op.module} is no torch.nn.Module")
    placed = Placed(node, module, parts)
    if node.share:
        shared[node.share] = placed
    return placed


def module_of(node: Node) -> nn.Module:
    """The module of a node, parts included."""
    return place(node).module


def attribute(owner: type, name: str) -> str:
    """The name under which a part is registered: `half` and others that torch uses get a `_` behind them."""
    return f"{name}_" if hasattr(owner, name) or hasattr(nn.Module, name) or name == "training" else name
