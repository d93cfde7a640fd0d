"""One architecture in many variations: read once, then built again with other values in its places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from archdsl.diagnostics import Diagnostic, DiagnosticError, Source, did_you_mean
from archdsl.graph import library
from archdsl.graph.architecture import Architecture
from archdsl.graph.cost import Cost, Subtotals, cost
from archdsl.graph.digest import Canonical, training_digest
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.elaborate import elaborate
from archdsl.graph.elaboration.evaluate import evaluate, unwrap, written
from archdsl.graph.elaboration.files import Definition, Unit, load_file, load_values, prelude
from archdsl.graph.elaboration.frames import constant
from archdsl.graph.elaboration.memory import Memory
from archdsl.graph.elaboration.names import at_file_level, callee_of
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.scopes import Body, Cell, Scope, Value
from archdsl.graph.elaboration.static import check_values, names_in
from archdsl.graph.elaboration.taken import Taken
from archdsl.graph.elaboration.variants import Given, Plan, given_by, plan_of
from archdsl.graph.node import Node
from archdsl.lang import to_text
from archdsl.lang import tree as t

_BLOCKS = "blocks"
KEPT = 20_000
"""Top nodes that are remembered."""

Change = tuple[t.Path, t.Expr]
"""A place and the value that is put there."""


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


@dataclass(frozen=True, slots=True)
class Counted:
    """An architecture with what can be told without training it.

    Args:
        architecture: checked.
        cost: of one image.
        training: its `archdsl.graph.digest.training_digest`.
    """

    architecture: Architecture
    cost: Cost
    training: str


@dataclass(slots=True)
class _Shared:
    """What is known of top nodes that many variations have in common, all of it kept alive."""

    memory: Memory = field(default_factory=Memory)
    subtotals: Subtotals = field(default_factory=Subtotals)
    canonical: Canonical = field(default_factory=lambda: Canonical(training=True))
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Base:
    """An architecture and what a file makes of it.

    Which settings nobody takes is told over all variations together, by `untaken`: a setting that only some
    of the blocks tried have a use for is none.

    Args:
        plan: the architecture with the values of its call.
        sight: what values put into it see.
    """

    plan: Plan
    sight: Sight
    _taken: Taken = field(default_factory=Taken)
    _shared: _Shared = field(default_factory=_Shared)
    _blocks_named: bool = False

    @classmethod
    def of(cls, call: t.Expr, sight: Sight, fixed: Mapping[str, Fraction]) -> Base:
        """The architecture that a call names: of a used file, else a shipped one.

        Args:
            call: `mambaout_femto(dims = [16, 32], s1.blocks = 2 x conv)`, or a name alone.
            sight: what it sees.
            fixed: values for `image`, `classes`, `channels`, put over those of the call.

        Raises:
            DiagnosticError: where there is no such architecture, and for arguments it does not take.
        """
        try:
            plan = _plan(call, sight)
        except SpecError as error:
            raise DiagnosticError(*error.diagnostics) from None
        span = call.span
        given = [
            Given(t.Path(span, (t.PathStep(span, name),)), t.Number(span, value, ""), sight.unit)
            for name, value in fixed.items()
        ]
        base = cls(Plan(plan.name, plan.arch, plan.unit, (*plan.given, *given), plan.span), sight)
        base._blocks_named = _BLOCKS in names_in(plan.arch)
        return base

    def written(self) -> Iterator[Change]:
        """The values that the call itself gives."""
        return ((g.path, g.expr) for g in self.plan.given if g.writer is self.sight.unit)

    def at(self, changes: Sequence[Change] = ()) -> Architecture:
        """The architecture with values in some of its places, later ones over earlier ones.

        Raises:
            DiagnosticError: with what does not fit.
        """
        given = (Given(path, expr, self.sight.unit) for path, expr in changes)
        p = self.plan
        if len(self._shared.nodes) > KEPT or len(self._shared.memory) > KEPT:
            self._shared = _Shared()
        report = Report()
        plan = Plan(p.name, p.arch, p.unit, (*p.given, *given), p.span, self._keys(changes))
        architecture = elaborate(plan, report, Builder(self._shared.memory), self._taken)
        if architecture is None or report.failed:
            raise DiagnosticError(*report.sorted())
        return architecture

    def count(self, architecture: Architecture) -> Counted:
        """What an architecture costs and how it trains; nodes that were counted before are not counted again.

        Args:
            architecture: from `at`.
        """
        shared = self._shared
        shared.nodes += (node for _, node in architecture.top())
        return Counted(
            architecture,
            cost(architecture, shared.subtotals),
            training_digest(architecture, shared.canonical),
        )

    def _keys(self, changes: Sequence[Change]) -> dict[str, object]:
        """What tells the places of this variation from those of others; see `Plan.keys`.

        Values of `blocks` are left out, because blocks are told apart by their own texts, unless a text
        looks at them by that name.
        """
        above: list[str] = []
        inside: dict[str, list[str]] = {s.name: [] for s in self.plan.arch.body if isinstance(s, t.StageDef)}
        texts = [to_text(expr) for _, expr in changes]
        looked_at = self._blocks_named or any(_BLOCKS in text for text in texts)
        for (path, _), text in zip(changes, texts, strict=True):
            first, *rest = path.steps
            if rest and rest[0].name == _BLOCKS and not looked_at:
                continue
            own = inside.get(first.name, above) if rest else above
            own.append(f"{path} = {text}")
        arch = tuple(above)
        return {"": arch, **{name: (name, arch, tuple(texts)) for name, texts in inside.items()}}

    def untaken(self) -> tuple[Diagnostic, ...]:
        """Settings put there by the call or by changes that nobody took in any architecture built so far."""
        return tuple(d for d in self._taken.mistakes() if d.code != "E206")


def _plan(call: t.Expr, sight: Sight) -> Plan:
    call = unwrap(call)
    callee = call.callee if isinstance(call, t.Call) else call
    if not isinstance(callee, t.Name):
        raise mistake(
            "E216", "expected an architecture", call.span, "this names none",
            help="write the call of one: `mambaout_femto(depths = [1, 1, 1, 1])`",
        )  # fmt: skip
    unit = sight.unit
    found = unit.arch(callee.id, callee.span)
    if found is None:
        path = library.file_of(callee.id)
        if path is None:
            raise _unknown(callee, sight)
        shipped = load_file(path)
        unit.used = (*unit.used, shipped)
        found = shipped.arches[callee.id], shipped
    plan = plan_of(found[1], callee.id)
    if not isinstance(call, t.Call):
        return plan
    given = given_by(call, unit, plan.arch)
    return Plan(plan.name, plan.arch, plan.unit, (*plan.given, *given), plan.span)


def _unknown(name: t.Name, sight: Sight) -> SpecError:
    known = [*sight.unit.arch_names(), *library.index()]
    if callee_of(sight.scope, name.id) is not None:
        return mistake(
            "E216", f"`{name.id}` is no architecture", name.span, "a mixer, a block or an operator",
            help="name an arch of a used file, or a shipped one",
        )  # fmt: skip
    return mistake(
        "E201", f"unknown architecture `{name.id}`", name.span, "not in a used file, and not shipped",
        help=did_you_mean(name.id, known, "`use` the file that defines it"),
    )  # fmt: skip
