"""The middle: a spec as a checked, shaped graph. Knows no torch."""

from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.check import check
from archdsl.graph.load import instantiate, load
from archdsl.graph.node import BoundCall, Node, Origin, make_node

__all__ = [
    "Architecture",
    "BoundCall",
    "Node",
    "Origin",
    "Stage",
    "check",
    "instantiate",
    "load",
    "make_node",
]
