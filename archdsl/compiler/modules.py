"""From a node of the graph to its module."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from archdsl.graph.node import Node


def module_of(node: Node, shared: dict[str, nn.Module] | None = None) -> nn.Module:
    """The module of a node, parts included.

    Args:
        node: from the checked graph.
        shared: modules of shared nodes built so far, by key; give one mapping for a whole architecture.
    """
    shared = {} if shared is None else shared
    if node.share and node.share in shared:
        return shared[node.share]
    where, _, name = node.op.module.partition(":")
    constructor = getattr(import_module(where), name)
    arguments = node.op.arguments(node.input, node.output)
    if node.parts or node.op.parts:
        arguments["parts"] = {n: module_of(p, shared) for n, p in zip(node.names(), node.parts, strict=True)}
    module = constructor(**arguments)
    assert isinstance(module, nn.Module)
    if node.share:
        shared[node.share] = module
    return module
