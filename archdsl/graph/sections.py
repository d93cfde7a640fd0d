"""Sections: nodes behind each other with all that is known of them, counted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from archdsl.graph.canonical import Canonical
from archdsl.graph.cost import Subtotals
from archdsl.graph.node import Node
from archdsl.ops import Macs

KEPT = 20_000
"""Top nodes whose costs and hashes are remembered."""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Top nodes that stand behind each other: a stem, a downsample, some blocks, a head; or nothing.

    Costs of one image, as `archdsl.graph.cost` counts them. Those of an architecture are the sums over its
    sections.

    Args:
        nodes: in order.
        form: their hashes for `archdsl.graph.digest.digest`, in order.
        training: their hashes for `archdsl.graph.digest.training_digest`.
        params: trainable parameters.
        macs: multiply-accumulates by class.
        operators: how many were put there, for the bound `MAX_NODES` of an architecture.
        memory: bytes of activations, see `archdsl.graph.cost.Cost.activation_bytes`.
    """

    nodes: tuple[Node, ...]
    form: tuple[str, ...]
    training: tuple[str, ...]
    params: int
    macs: Macs
    operators: int
    memory: int


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

    def section(self, nodes: Sequence[Node], operators: int) -> Section:
        """The section of a stem, a downsample, a norm of maps or a head; without nodes of what is not there.

        Args:
            nodes: in order.
            operators: see `Section`.
        """
        self._keep(nodes)
        return self._section(nodes, operators, self.form.top, self.training.top)

    def blocks(self, nodes: Sequence[Node], operators: int) -> Section:
        """The section of some blocks of a stage.

        Args:
            nodes: in order.
            operators: see `Section`.
        """
        self._keep(nodes)
        return self._section(nodes, operators, self.form.block, self.training.block)

    def _keep(self, nodes: Sequence[Node]) -> None:
        """What is remembered goes by the identity of nodes."""
        if len(self._nodes) > KEPT:
            self._subtotals, self.form, self.training = Subtotals(), Canonical(), Canonical(training=True)
            self._nodes.clear()
        self._nodes += nodes

    def _section(
        self,
        nodes: Sequence[Node],
        operators: int,
        form: Callable[[Node], tuple[str, ...]],
        training: Callable[[Node], tuple[str, ...]],
    ) -> Section:
        rows = [self._subtotals.row("", node) for node in nodes]
        macs = Macs()
        for row in rows:
            macs = macs + row.macs
        return Section(
            tuple(nodes),
            tuple(h for node in nodes for h in form(node)),
            tuple(h for node in nodes for h in training(node)),
            sum(row.params for row in rows),
            macs,
            operators,
            sum(row.activation_bytes for row in rows),
        )
