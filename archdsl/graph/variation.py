"""One architecture in many variations: read once, then built again with other values in its places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from archdsl.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from archdsl.graph import library
from archdsl.graph.architecture import Architecture
from archdsl.graph.canonical import Canonical
from archdsl.graph.cost import Cost, Subtotals, cost
from archdsl.graph.digest import training_digest
from archdsl.graph.elaboration.build import Builder
from archdsl.graph.elaboration.elaborate import elaborate
from archdsl.graph.elaboration.evaluate import unwrap
from archdsl.graph.elaboration.files import load_file
from archdsl.graph.elaboration.memory import Memory
from archdsl.graph.elaboration.names import callee_of
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.static import names_in
from archdsl.graph.elaboration.taken import Taken
from archdsl.graph.elaboration.variants import Given, Plan, given_by, plan_of
from archdsl.graph.node import Node
from archdsl.graph.sections import Counts
from archdsl.graph.sight import Sight
from archdsl.graph.walk import BLOCKS, Change, Walk
from archdsl.lang import to_text
from archdsl.lang import tree as t

__all__ = ["Base", "Change", "Counted", "Sight"]

KEPT = 20_000
"""Top nodes that are remembered."""
WALKS = 1_000
"""Walks that are remembered."""


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
    counts: Counts = field(default_factory=Counts)
    walks: dict[tuple[str, ...], Walk | DiagnosticError] = field(default_factory=dict)


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
        named = (plan.arch, *(g.expr for g in base.plan.given))
        base._blocks_named = any(BLOCKS in names_in(tree) for tree in named)
        return base

    def written(self) -> Iterator[Change]:
        """The values that the call itself gives."""
        return ((g.path, g.expr) for g in self.plan.given if g.writer is self.sight.unit)

    def at(self, changes: Sequence[Change] = ()) -> Architecture:
        """The architecture with values in some of its places, later ones over earlier ones.

        Raises:
            DiagnosticError: with what does not fit.
        """
        self._shared = self._bounded()
        report = Report()
        plan = self._plan(changes)
        architecture = elaborate(plan, report, Builder(self._shared.memory), self._taken)
        if architecture is None or report.failed:
            raise DiagnosticError(*report.sorted())
        return architecture

    def factors(self, values: Iterable[t.Expr] = ()) -> str | None:
        """Why variations can't be walked stretch by stretch; None where they can.

        Args:
            values: that are put into lines of stages, those of `blocks` left out.
        """
        if self._blocks_named:
            return f"`{self.plan.arch.name}` has a line that looks at `{BLOCKS}`"
        looking = next((expr for expr in values if BLOCKS in names_in(expr)), None)
        return None if looking is None else f"`{to_text(looking)}` looks at `{BLOCKS}`"

    def stage_of(self, path: t.Path) -> str | None:
        """The stage inside which a value for a path is seen; None where it is seen everywhere."""
        first, *rest = path.steps
        return first.name if rest and first.index is None and first.name in self._stages else None

    def walk(self, changes: Sequence[Change] = ()) -> Walk:
        """The variations with values in lines of the arch: see `Walk`. Only where `factors` has no reason.

        Args:
            changes: none of them seen only inside a stage.

        Raises:
            DiagnosticError: with what does not fit in any of them.
        """
        key = tuple(f"{path} = {to_text(expr)}" for path, expr in changes)
        shared = self._shared = self._bounded()
        found = shared.walks.get(key)
        if found is None:
            plan = self._plan(changes)
            if len(shared.walks) >= WALKS:
                shared.walks.clear()
            try:
                found = Walk(plan, self.sight.unit, shared.memory, shared.counts, self._taken)
            except DiagnosticError as error:
                found = error
            shared.walks[key] = found
        if isinstance(found, DiagnosticError):
            raise found
        return found

    def _plan(self, changes: Sequence[Change]) -> Plan:
        """The base with values in some of its places."""
        given = (Given(path, expr, self.sight.unit) for path, expr in changes)
        p = self.plan
        return Plan(p.name, p.arch, p.unit, (*p.given, *given), p.span, self._keys(changes))

    def _bounded(self) -> _Shared:
        """What is shared, begun anew where it has grown too large."""
        shared = self._shared
        return _Shared() if len(shared.nodes) > KEPT or len(shared.memory) > KEPT else shared

    @property
    def _stages(self) -> frozenset[str]:
        return frozenset(s.name for s in self.plan.arch.body if isinstance(s, t.StageDef))

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
        looked_at = self._blocks_named or any(BLOCKS in text for text in texts)
        for (path, _), text in zip(changes, texts, strict=True):
            first, *rest = path.steps
            if rest and rest[0].name == BLOCKS and not looked_at:
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
