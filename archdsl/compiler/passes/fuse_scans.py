"""Convolution, scan and gate of a mixer become one operator."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from archdsl.compiler.passes.rewrite import rewrite_all
from archdsl.graph.architecture import Architecture
from archdsl.graph.fusion import mixers, one_kernel
from archdsl.graph.node import Node
from archdsl.ops import Op
from archdsl.ops.chain import Chain
from archdsl.ops.partial import Partial
from archdsl.ops.residual import Residual
from archdsl.ops.routed import Routed
from archdsl.ops.split import Split
from archdsl.ops.windowed import Windowed


class FusedRouted(Routed):
    """`routed` over scans, with a convolution and silu in front of each or without."""

    module: ClassVar[str] = "archdsl.nn.fused:FusedRouted"


class FusedSplit(Split):
    """`split` of which one half scans, and silu of the other multiplies it."""

    module: ClassVar[str] = "archdsl.nn.fused:FusedSplit"


class FusedChain(Chain):
    """`chain` with a convolution, silu and a scan in it."""

    module: ClassVar[str] = "archdsl.nn.fused:FusedChain"


class FusedResidual(Residual):
    """`residual` with a convolution, silu and a scan in its chain."""

    module: ClassVar[str] = "archdsl.nn.fused:FusedResidual"


class FusedPartial(Partial):
    """`partial` with a convolution, silu and a scan in its chain."""

    module: ClassVar[str] = "archdsl.nn.fused:FusedPartial"


class FusedWindowed(Windowed):
    """`windowed` with a convolution, silu and a scan in its chain."""

    module: ClassVar[str] = "archdsl.nn.fused:FusedWindowed"


FUSED: dict[type[Op], type[Op]] = {
    Routed: FusedRouted,
    Split: FusedSplit,
    Chain: FusedChain,
    Residual: FusedResidual,
    Partial: FusedPartial,
    Windowed: FusedWindowed,
}


def fuse_scans(architecture: Architecture) -> Architecture:
    """Lets one operator compute a scan with the convolution, the routes and the gate around it.

    What is computed so says `archdsl.graph.fusion`. Parts, names and weights stay.
    """
    return rewrite_all(architecture, _fused)


def _fused(node: Node) -> Node:
    if type(node.op) in FUSED and (one_kernel(node) or mixers(node)):
        return replace(node, op=FUSED[type(node.op)].model_validate(dict(node.op)))
    return node
