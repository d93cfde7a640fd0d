"""An architecture as a graph of networkx."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node, own_macs, own_params

if TYPE_CHECKING:
    import networkx

IMAGE = "image"
"""The node that the first operator receives from."""

SEQUENTIAL = frozenset({"chain"})
"""Operators that are nothing but their parts, one behind the other."""


FEATURE_NORM = ".feature_norm"
"""The end of paths whose operators nothing behind them receives from."""


def to_networkx(architecture: Architecture) -> networkx.DiGraph[str]:
    """The flow of data as a directed acyclic graph; imports networkx.

    Every operator but `chain` is a node, named by the path of its module
    (`stages.s1.blocks.0.residual.norm`). An operator with parts receives its own input and what its parts
    return, so a residual connection is an edge around its branch. Nothing receives from norms of feature
    maps.
    Attributes of nodes: `op` (the operator's name), `parameters` (its fields), `input`, `output` (Feature),
    `params` and `macs` (of the operator itself; they add up to the totals, weights that are shared count
    where they stand first), `stage`.
    """
    from networkx import DiGraph

    flow = _Flow(DiGraph(name=architecture.name))
    height, width = architecture.image
    flow.graph.add_node(
        IMAGE, op=IMAGE, output=architecture.stem.input, size=(height, width), params=0, stage=""
    )
    at = IMAGE
    for path, node in architecture.top():
        flow.stage = path.split(".")[1] if path.startswith("stages.") else path
        flow.shared.clear()
        end = flow.through(path, node, at)
        if not path.endswith(FEATURE_NORM):
            at = end
    return flow.graph


class _Flow:
    def __init__(self, graph: networkx.DiGraph[str]) -> None:
        self.graph = graph
        self.stage = ""
        self.shared: set[str] = set()

    def through(self, path: str, node: Node, source: str, counted: bool = False) -> str:
        """Adds a node and its parts behind `source`; returns the id of what it returns."""
        if node.share:
            counted = counted or node.share in self.shared
            self.shared.add(node.share)
        names = node.names()
        if node.op.name in SEQUENTIAL:
            for name, part in zip(names, node.parts, strict=True):
                source = self.through(f"{path}.{name}", part, source, counted)
            return source
        self.graph.add_node(
            path,
            op=node.op.name,
            parameters=node.op.model_dump(),
            input=node.input,
            output=node.output,
            params=0 if counted else own_params(node),
            macs=own_macs(node),
            stage=self.stage,
        )
        self.graph.add_edge(source, path)
        end = source
        for name, part in zip(names, node.parts, strict=True):
            inner = self.through(f"{path}.{name}", part, end if node.op.sequence else source, counted)
            if node.op.sequence:
                end = inner
            elif inner != source:
                self.graph.add_edge(inner, path)
        if end != source:
            self.graph.add_edge(end, path)
        return path
