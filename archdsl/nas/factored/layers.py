"""The lines of a space by what they act on: the whole architecture, one stage, its blocks, the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from archdsl.graph.variation import Base, Change
from archdsl.lang import tree as t
from archdsl.nas.domains import Around, Each, Fixed, Form, Line, OneOf, VariedSpace
from archdsl.nas.factored.states import Choices

BLOCKS = "blocks"


@dataclass(slots=True)
class Own:
    """The lines of one stage.

    Args:
        settings: all but those of its blocks.
        blocks: the line that replaces all its blocks.
        edits: lines for single blocks.
    """

    settings: list[Line] = field(default_factory=list)
    blocks: Line | None = None
    edits: list[Line] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Layers:
    """The lines of a space in the order along the way.

    Args:
        above: those that act on the whole architecture.
        stages: those of every stage.
        task: those of the task, of which architectures know nothing.
    """

    above: tuple[Line, ...]
    stages: tuple[tuple[str, Own], ...]
    task: tuple[Line, ...]

    @property
    def architecture(self) -> VariedSpace:
        """The space without the lines of the task."""
        return VariedSpace(tuple(self.lines()))

    def lines(self) -> Iterator[Line]:
        """Those of the architecture."""
        yield from self.above
        for _, own in self.stages:
            yield from own.settings
            if own.blocks is not None:
                yield own.blocks
            yield from own.edits


def layers(base: Base, lines: Sequence[Line]) -> Layers | str:
    """Puts lines in their layers.

    Args:
        base: the unvaried architecture.
        lines: of a space.

    Returns:
        The layers, or why there are none.
    """
    above: list[Line] = []
    task: list[Line] = []
    own = {stage.name: Own() for stage in base.plan.arch.body if isinstance(stage, t.StageDef)}
    for line in lines:
        if line.field is not None:
            task.append(line)
            continue
        if line.form.count is None:
            return f"`{line.path}` is a real number"
        stage = own.get(base.stage_of(line.path) or "")
        _, *rest = line.path.steps
        if stage is None:
            above.append(line)
        elif rest[0].name != BLOCKS:
            stage.settings.append(line)
        elif rest[0].index is None and len(rest) == 1:
            stage.blocks = line
        else:
            stage.edits.append(line)
    settings = (line for stage in own.values() for line in stage.settings)
    values = (expr for line in (*above, *settings) for expr in _texts(line.form))
    return base.factors(values) or Layers(tuple(above), tuple(own.items()), tuple(task))


def _texts(form: Form) -> Iterator[t.Expr]:
    """The texts that a value is made of."""
    match form:
        case Fixed(expr=expr):
            yield expr
        case OneOf(forms=forms):
            for inner in forms.values():
                yield from _texts(inner)
        case Each(copies=parts):
            for part in parts:
                yield from _texts(part)
        case Around(expr=expr, parts=parts):
            yield expr
            for part in parts:
                yield from _texts(part)


def ways(lines: Sequence[Line]) -> Iterator[tuple[Choices, tuple[Change, ...]]]:
    """Every way to choose values for some lines, with the changes that it makes."""
    space = VariedSpace(tuple(lines))
    for point in space.points():
        yield tuple(point.items()), tuple((line.path, value) for line, value in space.values(point))
