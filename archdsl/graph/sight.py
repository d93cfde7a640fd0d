"""What the values of a file that is no `.arch` file see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source
from archdsl.graph.elaboration.evaluate import evaluate, unwrap, written
from archdsl.graph.elaboration.files import Definition, Unit, load_values, prelude
from archdsl.graph.elaboration.frames import constant
from archdsl.graph.elaboration.names import at_file_level
from archdsl.graph.elaboration.report import Report, SpecError
from archdsl.graph.elaboration.scopes import Body, Cell, Scope, Value
from archdsl.graph.elaboration.static import check_values
from archdsl.lang import to_text
from archdsl.lang import tree as t


@dataclass(frozen=True, slots=True)
class Sight:
    """What the values of a file that is no `.arch` file see: the files it uses, its lets, the prelude.

    Args:
        unit: the file.
    """

    unit: Unit

    @classmethod
    def of(cls, source: Source, path: Path | None, uses: Sequence[t.Use], lets: Sequence[t.Let]) -> Sight:
        """Loads what a text uses and takes note of its lets; see `faults`."""
        return cls(load_values(source, path, uses, lets))

    def faults(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the files and the lets, as far as that can be told without using them."""
        report = Report()
        for unit in self.unit.all_units():
            report.add(*unit.faults)
        check_values(self.unit, report)
        return report.sorted()

    @property
    def scope(self) -> Scope:
        """For those who evaluate."""
        return Scope((self.unit,))

    def value(self, expr: t.Expr, names: Mapping[str, Fraction] | None = None) -> Value:
        """The value of an expression; further names have the numbers given.

        Raises:
            DiagnosticError: where it has none.
        """
        cells = {name: constant(name, number) for name, number in (names or {}).items()}
        try:
            return evaluate(expr, Scope((self.unit,), Body(cells)))
        except SpecError as error:
            raise DiagnosticError(*error.diagnostics) from None

    def written_out(self, expr: t.Expr) -> t.Expr:
        """The text that a bare name of a let stands for; anything else as it is."""
        return written(expr, Scope((self.unit,), Body(self.unit.lets)))[0]

    def names(self) -> tuple[str, ...]:
        """Names of the lets."""
        return tuple(self.unit.lets)

    def let(self, name: str) -> t.Expr | None:
        """The text of a let."""
        cell = self.unit.lets.get(name)
        return None if cell is None else cell.expr

    def definitions(self) -> list[str]:
        """Everything in sight as canonical text: lets, mixers and blocks of all files and of the prelude."""
        out = [f"{cell.name} = {to_text(cell.text()[0])}" for cell in self.unit.lets.values()]
        for unit in (*self.unit.all_units(), prelude()):
            if unit is not self.unit:
                out += (f"{cell.name} = {to_text(cell.text()[0])}" for cell in unit.lets.values())
                out += (repr(definition.tree) for definition in unit.definitions.values())
        return out

    def is_block(self, name: str) -> bool:
        """Whether a name means a block, of which a stage takes several joined by `+`; lets are followed."""
        try:
            found: object = at_file_level(self.scope, name)
            while isinstance(found, Cell) and found.expr is not None:
                expr = unwrap(found.expr)
                while isinstance(expr, t.Repeat | t.Binary):
                    expr = unwrap(expr.body if isinstance(expr, t.Repeat) else expr.left)
                callee = expr.callee if isinstance(expr, t.Call) else expr
                found = at_file_level(self.scope, callee.id) if isinstance(callee, t.Name) else None
        except SpecError:
            return False
        return isinstance(found, Definition) and found.is_block
