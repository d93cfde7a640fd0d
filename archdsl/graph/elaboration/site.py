"""Where a part is built: the settings that hold there and what reaches it without being passed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from archdsl.diagnostics import Diagnostic
from archdsl.graph.elaboration.evaluate import value_of
from archdsl.graph.elaboration.report import SpecError
from archdsl.graph.elaboration.scopes import Body, Cell

KEPT = frozenset({"stem", "head", "downsample", "feature_norm", "blocks", "within", "init", "dim"})
"""Slots that no call takes as what it left out (`dim` is ambient)."""


@dataclass(slots=True, eq=False)
class Route:
    """One route of one `routed` while it is built: gives keys to the weights shared between its routes.

    Args:
        key: of the enclosing `routed`, unique within the top node.
        count: how many shared parts this route met so far.
    """

    key: str
    count: int = 0

    def next(self) -> str:
        """The key of the next shared part: the same in every route, as all meet the same parts."""
        self.count += 1
        return f"{self.key}.{self.count}"


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A place of the architecture.

    Args:
        ambient: `dim`, `eps`, `drop_path`, `layer_scale`, as far as they are known.
        bodies: where calls written in an arch find what they leave out: stage, arch, predefined.
        size: how the map here came about, for mistakes about shapes.
        width: how wide it is here, for mistakes about widths.
        wanted: names that calls written in an arch left out here.
        route: the route of the innermost `routed` around it.
        opened: how many `routed` the top node has so far.
        key: see `Plan.keys`.
    """

    ambient: Mapping[str, Cell]
    bodies: tuple[Body, ...] = ()
    size: str = ""
    width: str = ""
    route: Route | None = None
    wanted: set[str] = field(default_factory=set)
    opened: list[int] = field(default_factory=lambda: [0])
    key: object = None

    def setting(self, name: str) -> Cell | None:
        """The setting or arch parameter that a call takes for a parameter it left out."""
        if name in KEPT:
            return None
        for body in self.bodies:
            cell = body.names.get(name)
            if cell is not None and (cell.kind in ("setting", "parameter") or name in _PREDEFINED):
                cell.used = True
                if cell.kind == "parameter":
                    return Cell(name, "parameter", "arch", cell.expr, cell.scope, value=value_of(cell))
                return cell
        return None

    def told(self, error: SpecError) -> SpecError:
        """The mistake with a note how the feature came about, where it is about shapes."""
        out: list[Diagnostic] = []
        for d in error.diagnostics:
            note = self.width if d.code in _WIDTHS else self.size if d.code.startswith("E3") else ""
            out.append(replace(d, notes=(*d.notes, note)) if note and not _known(note, d) else d)
        return SpecError(*out)

    def open_routed(self) -> str:
        """A key for one more `routed`."""
        self.opened[0] += 1
        return f"routed{self.opened[0]}"

    def within(self, route: Route) -> Site:
        """The same place inside a route."""
        return replace(self, route=route)


_WIDTHS = frozenset({"E301", "E303", "E306", "E307"})
_PREDEFINED = frozenset({"image", "classes", "channels"})


def _known(note: str, d: Diagnostic) -> bool:
    """Whether the diagnostic says that already, in a note or as its label: "receives 14 x 14, dim 64"."""
    return note in d.notes or ("receives " in d.label and note.endswith(f" {d.label}"))
