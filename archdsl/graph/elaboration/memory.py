"""What several variations of one architecture have in common."""

from __future__ import annotations

from dataclasses import dataclass, field

from archdsl.features import Feature
from archdsl.graph.elaboration.pieces import Nodes
from archdsl.graph.elaboration.places import Place
from archdsl.lang import tree as t

_Key = tuple[object, int, Feature, Place]


@dataclass(slots=True)
class Memory:
    """Top nodes by the key of their site (see `Plan.keys`), their text and the feature they stand behind.

    A text is told from others by its object, which is kept alive.
    """

    _nodes: dict[_Key, tuple[t.Expr, Nodes, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._nodes)

    def recall(self, site: object, expr: t.Expr, x: Feature, place: Place) -> tuple[Nodes, int] | None:
        """What was built there, and how many operators it has."""
        kept = self._nodes.get((site, id(expr), x, place))
        return None if kept is None else kept[1:]

    def keep(self, site: object, expr: t.Expr, x: Feature, place: Place, nodes: Nodes, count: int) -> None:
        """Remembers what was built."""
        self._nodes[site, id(expr), x, place] = expr, nodes, count
