"""Names and what they stand for: values of the language, cells that hold them, scopes that see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from archdsl.diagnostics import Span
from archdsl.features import Word
from archdsl.lang import tree as t
from archdsl.ops._types import SameType

if TYPE_CHECKING:
    from archdsl.graph.elaboration.files import Definition, Unit

END = 1 << 60
"""The position behind every line."""
AMBIENT = frozenset({"dim", "eps", "drop_path", "layer_scale"})
"""Names that reach every depth without being passed."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A network not built yet: its text, and the scope in which its names are read.

    Equal parts are the same text in the same scope.

    Args:
        expr: a call, a bare name of a definition or operator, or a pipeline.
        scope: where it was written.
        given: arguments put there by paths (`s3.blocks[2].state = 8`).
    """

    expr: t.Expr
    scope: Scope
    given: tuple[Cell, ...] = ()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Part)
            and self.expr is other.expr
            and self.scope is other.scope
            and self.given == other.given
        )

    def __hash__(self) -> int:
        return hash((id(self.expr), id(self.scope)))

    def __str__(self) -> str:
        return "a network"


@dataclass(frozen=True, slots=True)
class Blocks:
    """Parts one behind the other, repeats expanded.

    Args:
        parts: in order.
        joined: whether `+` was written: blocks of a stage, not copies of one part.
    """

    parts: tuple[Part, ...]
    joined: bool = False

    def __str__(self) -> str:
        return "blocks"


Value = Fraction | bool | None | SameType | str | Word | tuple["Value", ...] | Part | Blocks


class Unset:
    """The type of `UNSET`: a cell that was not asked yet."""


UNSET = Unset()


@dataclass(slots=True, eq=False)
class Cell:
    """What a name stands for.

    Args:
        name: the name.
        kind: `parameter`, `setting`, `let` or `predefined`.
        origin: as in `archdsl.graph.node.Origin`.
        expr: the text it is read from, None for predefined values.
        scope: where that text was written.
        position: the line of its body; lines above do not see it.
        name_span: where the name itself stands.
        value: once known.
        error: why there is none, once known.
        busy: being computed.
        used: asked for by a name or taken by a call.
        override: put there by a path.
    """

    name: str
    kind: str
    origin: str
    expr: t.Expr | None = None
    scope: Scope | None = None
    position: int = -1
    name_span: Span | None = None
    value: Value | Unset = UNSET
    error: Exception | None = None
    busy: bool = False
    used: bool = False
    override: bool = False

    @property
    def span(self) -> Span | None:
        """Where the value was written."""
        return self.expr.span if self.expr is not None else self.name_span

    def text(self) -> tuple[t.Expr, Scope]:
        """The text it is read from and where that was written; not for predefined values."""
        if self.expr is None or self.scope is None:
            raise LookupError(f"`{self.name}` has no text")
        return self.expr, self.scope


@dataclass(slots=True, eq=False)
class Body:
    """The names that one body gives, and the scope around it."""

    names: dict[str, Cell] = field(default_factory=dict)
    parent: Scope | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """What a text can see.

    Args:
        units: files whose definitions it sees, first the writer's.
        body: the innermost body, None at file level.
        position: how many lines of the body are above.
        open: written in an arch or a stage: what its calls leave out comes from the settings.
        stack: definitions whose bodies enclose this text while it is built, each with its call.
        hidden: a name of the body that the text does not see: its own.
    """

    units: tuple[Unit, ...]
    body: Body | None = None
    position: int = END
    open: bool = False
    stack: tuple[tuple[Definition, t.Name | t.Call], ...] = ()
    hidden: str = ""

    def find(self, name: str) -> Cell | None:
        """The local of that name: a parameter, or a line above."""
        scope: Scope | None = self
        while scope is not None and scope.body is not None:
            cell = scope.body.names.get(name)
            if cell is not None and cell.position < scope.position and name != scope.hidden:
                return cell
            scope = scope.body.parent
        return None

    def below(self, name: str) -> Cell | None:
        """The setting or let of that name on a line below."""
        scope: Scope | None = self
        while scope is not None and scope.body is not None:
            cell = scope.body.names.get(name)
            if cell is not None and cell.kind != "predefined" and cell.position >= scope.position:
                return cell
            scope = scope.body.parent
        return None

    def names(self) -> Iterator[str]:
        """All locals in sight."""
        scope: Scope | None = self
        while scope is not None and scope.body is not None:
            for name, cell in scope.body.names.items():
                if cell.position < scope.position:
                    yield name
            scope = scope.body.parent
