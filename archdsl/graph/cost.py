"""What an architecture costs: parameters, multiply-accumulates and memory, exact and without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from archdsl.graph.architecture import Architecture
from archdsl.graph.memory.inference import Running
from archdsl.graph.memory.keeping import NOTHING, Bytes, saved_by_top
from archdsl.graph.memory.training import Tracing
from archdsl.graph.memory.weights import Kept
from archdsl.graph.node import Node, own_macs, own_params
from archdsl.ops import Macs, behind, size


@dataclass(frozen=True, slots=True)
class CostRow:
    """The cost of a part of an architecture, for one image.

    Args:
        path: of the part: `stem`, `stages.s1.blocks.0`, ..., or the name of a stage.
        params: trainable parameters; weights that several parts of a block share count once.
        macs: multiply-accumulates by class.
        saved: what training keeps for the backward; memory that two parts keep counts with the first.
        peak_bytes: the most bytes alive at once while it runs without gradients, its input among them.
        kept: parameters and buffers; `kept.size(dtype)` are their bytes.
    """

    path: str
    params: int
    macs: Macs
    saved: Bytes
    peak_bytes: int
    kept: Kept

    @property
    def activation_bytes(self) -> int:
        """What training keeps for each image."""
        return self.saved.each


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an architecture, for one image.

    Args:
        params: trainable parameters.
        macs: multiply-accumulates by class; the scans apart.
        saved: what training keeps between forward and backward at float32: all memory that autograd saves
            tensors in, weights and buffers apart, each once. Exact on the CPU for batches of two images or
            more; of operators from outside that do not tell (`Op.trace`), input and output.
        peak_bytes: the most bytes alive at once while it runs without gradients at float32, the image among
            them and weights not; see `archdsl.graph.memory.inference`.
        kept: parameters and buffers.
        rows: one for every top node, in the order of `Architecture.top`.
        stages: `stem`, every stage with its downsample and the norm of its feature maps, `head`.
    """

    params: int
    macs: Macs
    saved: Bytes
    peak_bytes: int
    kept: Kept
    rows: tuple[CostRow, ...]
    stages: tuple[CostRow, ...]

    @property
    def activation_bytes(self) -> int:
        """What training keeps for each image; `saved.fixed` more, however many there are."""
        return self.saved.each

    @property
    def weight_bytes(self) -> int:
        """Of parameters and buffers at float32."""
        return self.kept.size()


@dataclass(slots=True)
class _Subtotal:
    """One node with all that stands inside it; `shared` is what is kept under each key of sharing."""

    kept: Kept
    shared: dict[str, Kept]
    macs: Macs


@dataclass(slots=True)
class Subtotals:
    """Costs of nodes, each distinct node object computed once: repeated blocks cost nothing.

    The nodes have to stay alive while this is used.
    """

    known: dict[int, _Subtotal] = field(default_factory=dict)
    running: Running = field(default_factory=Running)
    tracing: Tracing = field(default_factory=Tracing)

    def row(self, path: str, node: Node, saved: Bytes = NOTHING) -> CostRow:
        """The cost of a top node; weights that are shared inside it count once.

        Args:
            path: of it.
            node: the top node.
            saved: what training keeps of it, which depends on what stands before.
        """
        total = self._of(node)
        kept = _all(total)
        peak = size(node.input) + self.running.of(node).peak
        return CostRow(path, kept.params, total.macs, saved, peak, kept)

    def _of(self, node: Node) -> _Subtotal:
        found = self.known.get(id(node))
        if found is not None:
            return found
        kept = Kept(own_params(node), *node.op.buffers(node.input, node.output))
        shared: dict[str, Kept] = {}
        macs = own_macs(node)
        for part in node.parts:
            inner = self._of(part)
            kept = kept.plus(inner.kept)
            shared.update(inner.shared)
            macs = macs + inner.macs
        total = _Subtotal(kept, shared, macs)
        if node.share:
            total = _Subtotal(Kept(0), {node.share: _all(total)}, macs)
        self.known[id(node)] = total
        return total


def _all(total: _Subtotal) -> Kept:
    """What is shared among it."""
    kept = total.kept
    for shared in total.shared.values():
        kept = kept.plus(shared)
    return kept


def cost(architecture: Architecture, subtotals: Subtotals | None = None) -> Cost:
    """Adds up what the operators declare.

    Args:
        architecture: checked.
        subtotals: where several architectures have nodes in common.
    """
    subtotals = subtotals or Subtotals()
    saved = saved_by_top(architecture, subtotals.tracing)
    rows = [subtotals.row(path, node, s) for (path, node), s in zip(architecture.top(), saved, strict=True)]
    alive = subtotals.running.sections(architecture)
    stages = []
    at = 0
    for (name, count), (given, made) in zip(_groups(architecture), alive, strict=True):
        stages.append(_sum(name, rows[at : at + count], given + made.peak))
        at += count
    images = alive[0][0]
    total = _sum("", rows, images + behind([made for _, made in alive]).peak)
    return Cost(
        total.params,
        total.macs,
        total.saved,
        total.peak_bytes,
        total.kept,
        tuple(rows),
        tuple(stages),
    )


def scan9(architecture: Architecture) -> int:
    """Multiply-accumulates of the scans of one image as papers print them: the sum of `Op.scan9`."""
    return _summed(architecture, lambda node: node.op.scan9(node.input, node.output))


def norms(architecture: Architecture) -> int:
    """Operations of the norms of one image as papers print them: the sum of `Op.norms`."""
    return _summed(architecture, lambda node: node.op.norms(node.input, node.output))


def _summed(architecture: Architecture, count: Callable[[Node], int]) -> int:
    """The sum over all nodes of what is counted for one window."""
    known: dict[int, int] = {}

    def of(node: Node) -> int:
        found = known.get(id(node))
        if found is None:
            own = count(node) * node.input.windows
            found = known[id(node)] = own + sum(of(part) for part in node.parts)
        return found

    return sum(of(node) for _, node in architecture.top())


def _groups(architecture: Architecture) -> list[tuple[str, int]]:
    """`stem`, stages and `head` with the number of their top nodes, in the order of `Architecture.top`."""
    stages = [
        (s.name, len(s.blocks) + (s.downsample is not None) + (s.feature_norm is not None))
        for s in architecture.stages
    ]
    return [("stem", 1), *stages, *([("head", 1)] if architecture.head is not None else [])]


def _sum(path: str, rows: Sequence[CostRow], peak: int) -> CostRow:
    macs, kept = Macs(), Kept(0)
    saved = Bytes(sum(row.saved.each for row in rows), sum(row.saved.fixed for row in rows))
    for row in rows:
        macs = macs + row.macs
        kept = kept.plus(row.kept)
    return CostRow(path, kept.params, macs, saved, peak, kept)
