"""What training keeps between the forward and the backward: the memory that autograd saves tensors in.

A node is traced once, `Op.trace`, and what it kept is noted as `Saved`: sums of what lies inside, and whether
it keeps the memory of its input and of its output, which others may keep too. A walk over nodes adds that up
and counts what two of them keep once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from archdsl.features import Feature
from archdsl.graph.fusion import mixers, one_kernel
from archdsl.graph.node import Node
from archdsl.ops.conv1d import Conv1d
from archdsl.ops.routed import Routed
from archdsl.ops.selective_scan import SelectiveScan
from archdsl.ops.windowed import Windowed
from archdsl.tape import IMAGES, Flow, Memory, MixerRoute, Part, Tape, Tensor, keep, mamba_inner


class Layout(NamedTuple):
    """How tokens lie in memory, as far as it decides about copies.

    Args:
        strides: of (B, T, C); None for contiguous ones.
        gradient: whether a gradient goes through; images have none.
        regions: windows of one image that tell regions apart, 0 for none.
    """

    strides: tuple[int, ...] | None = None
    gradient: bool = True
    regions: int = 0


class Saved(NamedTuple):
    """What one node keeps, or several behind each other.

    Args:
        inside: bytes for each image, but for the memory that input and output lie in.
        fixed: bytes that do not grow with the batch: statistics, stacked weights, indices, masks.
        input: whether the memory of the input is kept.
        output: whether the memory of the output is kept; False where it is the input's.
        same: whether the output lies in the input's memory.
        size: bytes for each image of the memory that the output lies in; 0 where it is the input's.
        layout: of the output.
    """

    inside: int
    fixed: int
    input: bool
    output: bool
    same: bool
    size: int
    layout: Layout

    def behind(self, loose: int) -> tuple[int, int]:
        """What it adds to the bytes for each image, and what is loose behind it.

        Args:
            loose: bytes for each image of the memory that the input lies in, 0 once they are counted.
        """
        counted = loose if self.input else 0
        if self.same:
            return self.inside + counted, loose - counted
        return (self.inside + counted + self.size, 0) if self.output else (self.inside + counted, self.size)

    def then(self, after: Saved) -> Saved:
        """What this and what stands behind it keep together."""
        inside, fixed = self.inside + after.inside, self.fixed + after.fixed
        if self.same:
            return after._replace(inside=inside, fixed=fixed, input=self.input or after.input)
        between = self.output or after.input
        if after.same:
            return Saved(inside, fixed, self.input, between, False, self.size, after.layout)
        inside += self.size if between else 0
        return Saved(inside, fixed, self.input, after.output, False, after.size, after.layout)


@dataclass(slots=True)
class Tracing:
    """What nodes keep, each distinct node object traced once; the nodes have to stay alive.

    Args:
        fused: whether one operator computes a mixer, as in `archdsl.build`.
    """

    fused: bool = True
    known: dict[tuple[int, Layout, bool], Saved] = field(default_factory=dict)
    cut: dict[tuple[Windowed, Feature, Layout], Saved] = field(default_factory=dict)
    """How the windows of a stage are entered and left."""

    def of(self, node: Node, layout: Layout, first: bool = False) -> Saved:
        """What a node keeps.

        Args:
            node: a node of an architecture before any pass.
            layout: of its input.
            first: whether it is the first block of its architecture.
        """
        key = (id(node), layout, first)
        found = self.known.get(key)
        if found is None:
            s = _entering(node.input, layout, Tape(first))
            found = self.known[key] = _noted(s, self._run(node, s))
        return found

    def _run(self, node: Node, s: Flow) -> Flow:
        parts = _without_no_ops(node)
        if len(parts) != len(node.parts):
            node = replace(node, parts=parts)
        if self.fused and one_kernel(node):
            routed = node.parts[0] if node.op.name == "split" else node
            if not isinstance(routed.op, Routed):
                return _mixed(s, [routed.parts or (routed,)], [False], node)
            ways = [way.parts or (way,) for way in routed.parts]
            return _mixed(s, ways, [order.path != "rows" for order in routed.op.order], node)
        inner = [self._part(part) for part in node.parts]
        for at in reversed(mixers(node) if self.fused else ()):
            inner[at : at + 3] = [_mixer(node.parts[at : at + 3])]
        return node.op.trace(s, node.output, *inner)

    def _part(self, node: Node) -> Part:
        def run(s: Flow) -> Flow:
            kept = self.of(node, _layout(s), s.x.tape.first)
            tape = s.x.tape
            tape.kept.append(Memory(kept.inside * IMAGES, kept=True))
            tape.kept.append(Memory(kept.fixed, grows=False, kept=True))
            if kept.input:
                keep(s.x)
            memory = s.x.memory if kept.same else Memory(kept.size * IMAGES)
            x = _tensor(node.output, kept.layout, memory, tape)
            if kept.output:
                keep(x)
            return Flow(x, node.output.grid, node.output.extras, s.regions if kept.layout.regions else None)

        return Part(node.input, run)

    def windows(self, op: Windowed, whole: Feature, layout: Layout) -> Saved:
        """How tokens of a whole map become windows: nothing is kept, but they lie in other memory."""
        key = (op, whole, layout)
        found = self.cut.get(key)
        if found is None:
            s = _entering(whole, layout, Tape())
            found = self.cut[key] = _noted(s, op.enter(s)[0])
        return found

    def whole(self, op: Windowed, whole: Feature, inside: Feature, layout: Layout) -> Saved:
        """How windows become a whole map, as `windows`."""
        key = (op, whole, layout._replace(regions=-1))
        found = self.cut.get(key)
        if found is None:
            s = _entering(inside, layout, Tape())
            map_ = _entering(whole, CONTIGUOUS, s.x.tape)
            found = self.cut[key] = _noted(s, op.leave(s, map_, op.enter(map_)[1]))
        return found


CONTIGUOUS = Layout()
"""Tokens in order, with a gradient: what all operators here return for such."""

UNCHANGED = Saved(0, 0, False, False, True, 0, CONTIGUOUS)
"""What nothing keeps."""


def image_layout(x: Feature) -> Layout:
    """How the tokens of an image lie: channels are planes, and no gradient is needed."""
    return Layout((x.dim * x.tokens, 1, x.tokens), gradient=False)


def _without_no_ops(node: Node) -> tuple[Node, ...]:
    """The parts, in a sequence without those that do nothing, as they are built."""
    if not node.op.sequence:
        return node.parts
    return tuple(part for part in node.parts if not part.op.vanishes(part.input)) or node.parts


def _mixer(nodes: Sequence[Node]) -> Part:
    """A convolution, silu and a scan in a sequence, as one part."""
    return Part(nodes[0].input, lambda s: _mixed(s, (tuple(nodes),), [False], nodes[2]))


def _mixed(s: Flow, ways: Sequence[Sequence[Node]], paths: Sequence[bool], node: Node) -> Flow:
    found = []
    for way, path in zip(ways, paths, strict=True):
        scan, conv = way[-1].op, way[0].op
        assert isinstance(scan, SelectiveScan)
        taps, bias = (conv.kernel, conv.bias) if isinstance(conv, Conv1d) else (0, False)
        found.append(MixerRoute(taps, bias, scan.dt_rank or 0, scan.state, path))
    return s.with_x(mamba_inner(s.x, found, gated=node.output.dim != node.input.dim))


def _entering(x: Feature, layout: Layout, tape: Tape) -> Flow:
    tensor = _tensor(x, layout, Memory(0), tape)
    regions = None
    if layout.regions:
        shape = (layout.regions, x.tokens)
        regions = Tensor(shape, (x.tokens, 1), Memory(0, grows=False), tape, gradient=False)
    return Flow(tensor, x.grid, x.extras, regions)


def _tensor(x: Feature, layout: Layout, memory: Memory, tape: Tape) -> Tensor:
    strides = layout.strides or (x.tokens * x.dim, x.dim, 1)
    return Tensor((IMAGES * x.windows, x.tokens, x.dim), strides, memory, tape, layout.gradient)


def _layout(s: Flow) -> Layout:
    x = s.x
    _, tokens, dim = x.shape
    strides = None if x.strides == (tokens * dim, dim, 1) else x.strides
    return Layout(strides, x.gradient, 0 if s.regions is None else s.regions.shape[0])


def _noted(s: Flow, y: Flow) -> Saved:
    """What the tape of `s` holds when `y` has come out."""
    given, out = s.x.memory, y.x.memory
    inside = fixed = 0
    for memory in s.x.tape.kept:
        if memory is given or memory is out:
            continue
        if memory.grows:
            inside += memory.size
        else:
            fixed += memory.size
    same = out is given
    return Saved(
        inside // IMAGES,
        fixed,
        given.kept,
        out.kept and not same,
        same,
        0 if same else out.size // IMAGES,
        _layout(y),
    )
