"""Sections: nodes behind each other with all that is known of them, counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from archdsl.graph.canonical import Canonical
from archdsl.graph.cost import Subtotals
from archdsl.graph.memory.training import CONTIGUOUS, UNCHANGED, Layout
from archdsl.graph.node import Node
from archdsl.ops import Macs
from archdsl.ops.drop_path import DropPath

KEPT = 20_000
"""Top nodes whose costs and hashes are remembered."""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Top nodes that stand behind each other: a stem, a downsample, some blocks, a head; or nothing.

    Costs of one image, as `archdsl.graph.cost` counts them. Those of an architecture are the sums over its
    sections.

    Args:
        nodes: in order.
        params: trainable parameters.
        macs: multiply-accumulates by class.
        operators: how many were put there, for the bound `MAX_NODES` of an architecture.
        memory: bytes that training keeps for each image, as in `Cost.activation_bytes`. What leaves a section
            counts with the one that receives it, if that keeps it. So sums over sections are exact, unless a
            section needs what leaves it (it ends in relu) and the next does not (it begins with a mean).
        less: bytes of `memory` that are not kept where this holds the first block of all, whose path is never
            dropped.
        fixed: bytes that training keeps however many images there are.
        hashes: of the nodes.
    """

    nodes: tuple[Node, ...]
    params: int
    macs: Macs
    operators: int
    memory: int
    less: int
    fixed: int
    hashes: Hashes = field(repr=False)

    @property
    def form(self) -> tuple[str, ...]:
        """Hashes for `archdsl.graph.digest.digest`, in order."""
        return self.hashes.form

    @property
    def training(self) -> tuple[str, ...]:
        """Hashes for `archdsl.graph.digest.training_digest`, in order."""
        return self.hashes.training


@dataclass(slots=True)
class Counts:
    """Makes sections; every distinct node object is counted and hashed once.

    Attributes:
        form: hashes for `archdsl.graph.digest.digest`.
        training: hashes for `archdsl.graph.digest.training_digest`.
    """

    form: Canonical = field(default_factory=Canonical)
    training: Canonical = field(default_factory=lambda: Canonical(training=True))
    _subtotals: Subtotals = field(default_factory=Subtotals)
    _nodes: list[Node] = field(default_factory=list)

    def section(self, nodes: Sequence[Node], operators: int, layout: Layout | None = CONTIGUOUS) -> Section:
        """The section of a stem, a downsample, a norm of maps or a head; without nodes of what is not there.

        Args:
            nodes: in order.
            operators: see `Section`.
            layout: of what enters; None where the forward does not run it.
        """
        return self._section(nodes, operators, layout, blocks=False)

    def blocks(self, nodes: Sequence[Node], operators: int) -> Section:
        """The section of some blocks of a stage.

        Args:
            nodes: in order.
            operators: see `Section`.
        """
        return self._section(nodes, operators, CONTIGUOUS, blocks=True)

    def keep(self, nodes: Sequence[Node]) -> None:
        """What is remembered goes by the identity of nodes."""
        if len(self._nodes) > KEPT:
            self._subtotals, self.form, self.training = Subtotals(), Canonical(), Canonical(training=True)
            self._nodes.clear()
        self._nodes += nodes

    def _section(
        self, nodes: Sequence[Node], operators: int, layout: Layout | None, *, blocks: bool
    ) -> Section:
        self.keep(nodes)
        rows = [self._subtotals.row("", node) for node in nodes]
        macs = Macs()
        for row in rows:
            macs = macs + row.macs
        return Section(
            tuple(nodes),
            sum(row.params for row in rows),
            macs,
            operators,
            *self._memory(nodes, layout),
            Hashes(self, tuple(nodes), blocks),
        )

    def _memory(self, nodes: Sequence[Node], layout: Layout | None) -> tuple[int, int, int]:
        """`memory`, `less` and `fixed` of a section."""
        if not nodes or layout is None:
            return 0, 0, 0
        tracing, x = self._subtotals.tracing, nodes[0].input
        behind = UNCHANGED
        for node in nodes[1:]:
            behind = behind.then(tracing.of(node, CONTIGUOUS))
        saved = tracing.of(nodes[0], layout).then(behind)
        received = 4 * x.dim * x.tokens * x.windows if saved.input else 0
        less = 0
        if _drops(nodes[0]):
            less = saved.inside - tracing.of(nodes[0], layout, first=True).then(behind).inside
        return saved.inside + received, less, saved.fixed


@dataclass(slots=True, eq=False)
class Hashes:
    """What `Canonical` makes of nodes, once it is asked for.

    Args:
        counts: makes them.
        nodes: in order.
        blocks: whether they are blocks of a stage.
    """

    counts: Counts
    nodes: tuple[Node, ...]
    blocks: bool
    _form: tuple[str, ...] | None = None
    _training: tuple[str, ...] | None = None

    @property
    def form(self) -> tuple[str, ...]:
        """Blind to what only training sees."""
        if self._form is None:
            self._form = self._of(training=False)
        return self._form

    @property
    def training(self) -> tuple[str, ...]:
        """With what only training sees."""
        if self._training is None:
            self._training = self._of(training=True)
        return self._training

    def _of(self, *, training: bool) -> tuple[str, ...]:
        self.counts.keep(self.nodes)
        form = self.counts.training if training else self.counts.form
        of = form.block if self.blocks else form.top
        return tuple(h for node in self.nodes for h in of(node))


def _drops(node: Node) -> bool:
    """Whether paths are dropped in it, by the rate of the architecture."""
    return any(isinstance(n.op, DropPath) and n.op.rate is None and n.op.drop_path > 0 for n in node.walk())
