"""Settings that nobody takes, over all architectures that are looked at together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

from archdsl.diagnostics import Diagnostic
from archdsl.graph.elaboration.frames import ARCH_SLOTS, STAGE_SLOTS, Frame, StageFrame
from archdsl.graph.elaboration.overrides import untaken
from archdsl.graph.elaboration.scopes import Cell
from archdsl.graph.elaboration.static import names_in, parameters_in_sight

_Place = tuple[str, int, int]


@dataclass(slots=True)
class _Spare:
    """A setting without a taker so far; `near` are the names that calls there would take."""

    cell: Cell
    owner: str
    stage: bool
    near: set[str]
    parameters: tuple[str, ...]


@dataclass(slots=True)
class Taken:
    """Which settings found a taker, over all architectures that one check looks at."""

    _spare: dict[_Place, _Spare] = field(default_factory=dict)
    _taken: set[_Place] = field(default_factory=set)

    def mistakes(self) -> Iterator[Diagnostic]:
        """Settings that no architecture takes."""
        for spare in self._spare.values():
            found = untaken(spare.cell, spare.owner, spare.stage, spare.near, spare.parameters)
            yield found.diagnostics[0]

    def look(self, frame: Frame, stage: StageFrame | None, near: Set[str], *, failed: bool = False) -> None:
        """Looks at the settings of a stage, or those of the arch.

        Args:
            frame: of the arch.
            stage: whose settings; None for those of the arch.
            near: names that calls there left out.
            failed: whether something was wrong there, so that what could take a setting counts.
        """
        possible: set[str] | None = None
        tree = frame.plan.arch if stage is None else stage.tree
        slots = ARCH_SLOTS if stage is None else STAGE_SLOTS
        for cell in (frame if stage is None else stage).body.names.values():
            if cell.kind != "setting" or cell.name in slots or cell.name_span is None:
                continue
            place = (cell.name_span.source.name, cell.name_span.line, cell.name_span.column)
            if place in self._taken:
                continue
            if failed and possible is None:
                possible = parameters_in_sight(frame.scope) | names_in(frame.plan.arch)
            if cell.used or cell.name in near or (possible is not None and cell.name in possible):
                self._taken.add(place)
                self._spare.pop(place, None)
            elif (spare := self._spare.get(place)) is not None:
                spare.near |= near
            else:
                parameters = tuple(p.name for p in frame.plan.arch.parameters)
                self._spare[place] = _Spare(cell, tree.name, stage is not None, set(near), parameters)


def look_at_all(taken: Taken, frame: Frame, wanted: dict[str, set[str]], *, failed: bool) -> None:
    """Looks at the settings of an arch and all its stages.

    Args:
        taken: takes note.
        frame: of the arch, built.
        wanted: names that calls left out, for every stage that was built, and for the arch under "".
        failed: whether something was wrong anywhere.
    """
    everywhere: Iterable[set[str]] = wanted.values()
    taken.look(frame, None, set().union(*everywhere), failed=failed)
    for stage in frame.stages:
        name = stage.tree.name
        taken.look(frame, stage, wanted.get(name, set()), failed=failed and name not in wanted)
