"""Convolution, scan and gate of a mixer become one operator."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from archdsl.compiler.passes.rewrite import rewrite_all
from archdsl.features import visited_grid
from archdsl.graph.architecture import Architecture
from archdsl.graph.node import Node
from archdsl.ops import Op
from archdsl.ops.chain import Chain
from archdsl.ops.conv1d import Conv1d
from archdsl.ops.partial import Partial
from archdsl.ops.residual import Residual
from archdsl.ops.routed import Routed
from archdsl.ops.selective_scan import SelectiveScan
from archdsl.ops.silu import Silu
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


SEQUENCES: dict[type[Op], type[Op]] = {
    Chain: FusedChain,
    Residual: FusedResidual,
    Partial: FusedPartial,
    Windowed: FusedWindowed,
}
MIXER = (Conv1d, Silu, SelectiveScan)


def fuse_scans(architecture: Architecture) -> Architecture:
    """Lets one operator compute a scan with the convolution, the routes and the gate around it.

    Found are `conv1d -> silu -> selective_scan` within a sequence, `routed` over that or over a scan alone,
    and a `split` of one of them and silu that multiplies the two. Parts, names and weights stay. Left alone
    are routes that visit zero slots or are not put back in place, and weights that routes share.
    """
    return rewrite_all(architecture, _fused)


def _fused(node: Node) -> Node:
    op, parts = node.op, node.parts
    if any(inner.share for part in parts for inner in part.walk()):
        return node
    if type(op) is Routed and op.restore and not _has_zero_slots(node) and all(map(_is_route, parts)):
        return _computed_by(FusedRouted, node)
    if type(op) is Split and op.merge == "multiply" and len(parts) == 2:
        scans = type(parts[0].op) is FusedRouted or _is_route(parts[0])
        return _computed_by(FusedSplit, node) if scans and type(parts[1].op) is Silu else node
    if type(op) in SEQUENCES and any(_are_mixer(parts[i : i + 3]) for i in range(len(parts))):
        return _computed_by(SEQUENCES[type(op)], node)
    return node


def _computed_by(op: type[Op], node: Node) -> Node:
    return replace(node, op=op.model_validate(dict(node.op)))


def _is_route(node: Node) -> bool:
    return type(node.op) is SelectiveScan or (type(node.op) is FusedChain and _are_mixer(node.parts))


def _are_mixer(parts: tuple[Node, ...]) -> bool:
    return tuple(type(part.op) for part in parts) == MIXER


def _has_zero_slots(node: Node) -> bool:
    assert isinstance(node.op, Routed)
    grid = node.input.grid
    return any(
        visited_grid(order.path, order.size, (grid[0], grid[1])) != grid
        for order in node.op.order
        if order.path != "rows"
    )
