"""Which operators of the graph one kernel computes: convolution, scan and gate of a Mamba mixer.

Found are `conv1d -> silu -> selective_scan` within a sequence, `routed` over that or over a scan alone, and
a `split` of one of them and silu that multiplies the two. Left alone are routes that visit zero slots or are
not put back in place, and weights that routes share.
"""

from __future__ import annotations

from archdsl.features import Order, visited_grid
from archdsl.graph.node import Node
from archdsl.ops.chain import Chain
from archdsl.ops.conv1d import Conv1d
from archdsl.ops.partial import Partial
from archdsl.ops.residual import Residual
from archdsl.ops.routed import Routed
from archdsl.ops.selective_scan import SelectiveScan
from archdsl.ops.silu import Silu
from archdsl.ops.split import Split
from archdsl.ops.windowed import Windowed

MIXER = (Conv1d, Silu, SelectiveScan)
SEQUENCES = (Chain, Residual, Partial, Windowed)


def one_kernel(node: Node) -> bool:
    """Whether the whole node, a `routed` or a `split`, is one operator once it is built."""
    if _shares(node):
        return False
    if isinstance(node.op, Routed):
        return _scans(node)
    if isinstance(node.op, Split) and node.op.merge == "multiply" and len(node.parts) == 2:
        inner, gate = node.parts
        scans = _scans(inner) if isinstance(inner.op, Routed) else _is_route(inner)
        return scans and type(gate.op) is Silu
    return False


def mixers(node: Node) -> tuple[int, ...]:
    """Where in a sequence one operator takes the place of three, from the left."""
    if not isinstance(node.op, SEQUENCES) or _shares(node):
        return ()
    found: list[int] = []
    at = 0
    while at < len(node.parts):
        if _are_mixer(node.parts[at : at + 3]):
            found.append(at)
            at += 3
        else:
            at += 1
    return tuple(found)


def routes(node: Node) -> tuple[Node, ...]:
    """What runs along each route of a node that is one kernel."""
    inner = node.parts[0] if isinstance(node.op, Split) else node
    return inner.parts if isinstance(inner.op, Routed) else (inner,)


def orders(node: Node) -> tuple[Order, ...]:
    """The order of each route of a node that is one kernel."""
    op = (node.parts[0] if isinstance(node.op, Split) else node).op
    return op.order if isinstance(op, Routed) else (Order(),)


def _scans(node: Node) -> bool:
    op = node.op
    assert isinstance(op, Routed)
    return op.restore and all(map(_is_route, node.parts)) and not _has_zero_slots(node)


def _is_route(node: Node) -> bool:
    return type(node.op) is SelectiveScan or (isinstance(node.op, Chain) and _are_mixer(node.parts))


def _are_mixer(parts: tuple[Node, ...]) -> bool:
    return tuple(type(part.op) for part in parts) == MIXER


def _shares(node: Node) -> bool:
    return any(inner.share for part in node.parts for inner in part.walk())


def _has_zero_slots(node: Node) -> bool:
    assert isinstance(node.op, Routed)
    grid = node.input.grid
    return any(
        visited_grid(order.path, order.size, (grid[0], grid[1])) != grid
        for order in node.op.order
        if order.path != "rows"
    )
