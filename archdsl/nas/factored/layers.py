"""The lines of a space by what they act on: the whole architecture, one stage, its blocks, the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from archdsl.graph.variation import Base
from archdsl.lang import tree as t
from archdsl.nas.domains import Around, Each, Fixed, Form, Line, OneOf, VariedSpace
from archdsl.nas.factored.states import Choices
from archdsl.nas.references import Steps, filled

BLOCKS = "blocks"


Values = Mapping[Steps, t.Expr]
"""Values by the paths in whose places they stand."""


@dataclass(slots=True)
class Own:
    """The lines of one stage.

    Args:
        lifted: those that lines elsewhere name, which are chosen before all stages.
        settings: the others, but for those of its blocks.
        blocks: the line that replaces all its blocks.
        edits: lines for single blocks.
    """

    lifted: list[Line] = field(default_factory=list)
    settings: list[Line] = field(default_factory=list)
    blocks: Line | None = None
    edits: list[Line] = field(default_factory=list)

    def lines(self) -> Iterator[Line]:
        """All of them."""
        yield from self.lifted
        yield from self.settings
        if self.blocks is not None:
            yield self.blocks
        yield from self.edits

    @property
    def edited(self) -> bool:
        """Whether single blocks are varied."""
        return bool(self.edits) or any(line.path.steps[1].name == BLOCKS for line in self.lifted)

    @property
    def together(self) -> tuple[Line, ...]:
        """The lines of blocks where single ones are varied; those are chosen together."""
        if not self.edited:
            return ()
        return (*(() if self.blocks is None else (self.blocks,)), *self.edits)


@dataclass(frozen=True, slots=True)
class Layers:
    """The lines of a space in the order along the way.

    Args:
        above: those that act on the whole architecture.
        stages: those of every stage.
        task: those of the task, of which architectures know nothing.
        order: of the paths as written; later values go over earlier ones.
    """

    above: tuple[Line, ...]
    stages: tuple[tuple[str, Own], ...]
    task: tuple[Line, ...]
    order: Mapping[Steps, int]

    @property
    def architecture(self) -> VariedSpace:
        """The space without the lines of the task."""
        return VariedSpace(tuple(self.lines()))

    @property
    def first(self) -> tuple[Line, ...]:
        """The lines that are chosen before all stages."""
        return (*self.above, *(line for _, own in self.stages for line in own.lifted))

    def lines(self) -> Iterator[Line]:
        """Those of the architecture."""
        yield from self.above
        for _, own in self.stages:
            yield from own.lines()


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
    lifted = _lifted(lines)
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
        elif str(line.path) in lifted:
            stage.lifted.append(line)
        elif rest[0].name != BLOCKS:
            stage.settings.append(line)
        elif rest[0].index is None and len(rest) == 1:
            stage.blocks = line
        else:
            stage.edits.append(line)
    settings = (line for stage in own.values() for line in (*stage.lifted, *stage.settings))
    values = (expr for line in (*above, *settings) for expr in _texts(line.form))
    order = {line.path.steps: number for number, line in enumerate(lines)}
    return base.factors(values) or Layers(tuple(above), tuple(own.items()), tuple(task), order)


def _lifted(lines: Sequence[Line]) -> set[str]:
    """The paths that are named by a line that is not of the same stage, and those that these lines name."""
    of = {str(line.path): line for line in lines}
    found = {
        name
        for line in lines
        for name in line.names
        if name.split(".")[0] != line.path.steps[0].name or BLOCKS in name
    }
    waiting = list(found)
    while waiting:
        new = set(of[waiting.pop()].names) - found
        found |= new
        waiting += new
    return found


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


def ways(lines: Sequence[Line], given: Values) -> Iterator[tuple[Choices, tuple[tuple[Line, t.Expr], ...]]]:
    """Every way to choose values for some lines, with the values.

    Args:
        lines: of a space.
        given: the values of lines that these name, but for those among them.
    """
    space = VariedSpace(tuple(replace(line, names=()) for line in lines))
    naming = [line for line in lines if line.names]
    for point in space.points():
        drawn = {line.path.steps: value for line, value in space.values(point)}
        waiting = list(naming)
        while waiting:
            line = waiting.pop(0)
            if any(str(other.path) in line.names for other in waiting):
                waiting.append(line)
            else:
                drawn[line.path.steps] = filled(drawn[line.path.steps], {**given, **drawn})
        yield tuple(point.items()), tuple((line, drawn[line.path.steps]) for line in lines)
