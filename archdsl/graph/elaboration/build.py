"""Parts put behind features: definitions are opened, operators run their shape rules, nodes come out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from archdsl.diagnostics import Diagnostic, Span
from archdsl.features import Feature, Word
from archdsl.graph.elaboration.calls import Bound, bind
from archdsl.graph.elaboration.circles import refuse_circle
from archdsl.graph.elaboration.evaluate import (
    WINDOWS,
    count_of,
    evaluate,
    local_of,
    unknown_word,
    unwrap,
    value_of,
)
from archdsl.graph.elaboration.files import Definition
from archdsl.graph.elaboration.memory import Memory
from archdsl.graph.elaboration.names import Callee, at_file_level, unknown
from archdsl.graph.elaboration.operators import make_operator, shape_mistake
from archdsl.graph.elaboration.pieces import Nodes, bound_call, call_key, chain, lifted, written_name
from archdsl.graph.elaboration.places import Place, misplaced, not_a_network, refuse_kind
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.requires import require
from archdsl.graph.elaboration.scopes import Blocks, Body, Cell, Part, Scope, Value
from archdsl.graph.elaboration.signature import Signature, of_operator, signature_of
from archdsl.graph.elaboration.site import Route, Site
from archdsl.graph.node import Node, make_node, named
from archdsl.lang import tree as t
from archdsl.ops import Op, ShapeError
from archdsl.ops.residual import Residual

MAX_NODES = 200_000
MAX_STEPS = 50_000
"""How many parts of one architecture may be built; equal ones are built once."""
MAX_LEVEL = 50
"""How deep definitions and combinators may stand inside each other."""


class Builder:
    """Builds networks and remembers what it built: the same block on the same feature is one node.

    Args:
        memory: of other builders.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory
        self.nodes = 0
        self._steps = 0
        self._level = 0
        self._shares = 0
        self._built: dict[tuple[object, ...], tuple[Nodes, int] | SpecError] = {}

    def begin(self) -> None:
        """Starts to count anew, for the next architecture."""
        self.nodes = self._steps = 0

    def block(self, part: Part, x: Feature, site: Site) -> Node:
        """A block of a stage.

        Raises:
            SpecError: with everything wrong inside.
        """
        key = ("block", part, x, site)
        nodes = self._remembered(key, lambda: self._top(part, x, site, Place.BLOCK), part.expr.span)
        return nodes[0] if len(nodes) == 1 else chain(nodes, x, "block")

    def top(self, expr: t.Expr, scope: Scope, x: Feature, site: Site) -> Nodes:
        """The nodes of a stem, a downsample or a head.

        Raises:
            SpecError: with what is wrong first.
        """
        return self._top(Part(expr, scope), x, site, Place.PIPELINE)

    def either(self, expr: t.Expr, scope: Scope, x: Feature, site: Site) -> Nodes:
        """The nodes of a text that may name a block or a pipeline."""
        return self._top(Part(expr, scope), x, site, Place.EITHER)

    def windows(self, expr: t.Expr, scope: Scope, site: Site) -> tuple[Op, Bound] | None:
        """The operator that cuts a stage: `windows(14)` is `windowed` without its part; None for `none`.

        Raises:
            SpecError: E205 for anything else, and those of the call.
        """
        value = evaluate(expr, scope)
        if value is None:
            return None
        call = unwrap(value.expr) if isinstance(value, Part) else None
        name = call.callee.id if isinstance(call, t.Call) else call.id if isinstance(call, t.Name) else ""
        if not isinstance(value, Part) or not isinstance(call, t.Call | t.Name) or name != WINDOWS:
            if isinstance(value, Word) and value.name[:6] != WINDOWS[:6]:
                raise unknown_word(value, expr, scope)
            label, step = "expected windows(...) or none", "write `within = windows(7)`"
            raise mistake("E205", "`within` takes windows", expr.span, label, help=step)
        op = at_file_level(value.scope, "windowed")
        if not isinstance(op, type):
            raise unknown(value.scope, "windowed", call.span)
        signature = of_operator(op, parts=False)
        bound = bind(op, signature, call, value.scope, site)
        return make_operator(op, signature, bound, call.span), bound

    def _top(self, part: Part, x: Feature, site: Site, place: Place) -> Nodes:
        site.opened[0] = 0
        memory = self.memory if site.key is not None and not part.given else None
        if memory is not None and (kept := memory.recall(site.key, part.expr, x, place)):
            self._count(kept[1], part.expr.span)
            return kept[0]
        before = self.nodes
        nodes = self._value(part, part.expr, part.scope, x, site, place)
        if memory is not None:
            memory.keep(site.key, part.expr, x, place, nodes, self.nodes - before)
        return nodes

    @property
    def full(self) -> bool:
        """Whether there is too much already to go on."""
        return self.nodes > MAX_NODES or self._steps > MAX_STEPS

    def _remembered(self, key: tuple[object, ...], build: Callable[[], Nodes], span: Span) -> Nodes:
        kept = self._built.get(key)
        if isinstance(kept, SpecError):
            raise kept
        if kept is not None:
            nodes, count = kept
            self._count(count, span)
            return nodes
        before, shares = self.nodes, self._shares
        try:
            nodes = build()
        except SpecError as error:
            if not self.full:
                self._built[key] = error
            raise
        if key[0] == "block" or shares == self._shares:
            self._built[key] = nodes, self.nodes - before
        return nodes

    def _count(self, more: int, span: Span | None) -> None:
        self.nodes += more
        if self.nodes > MAX_NODES:
            raise mistake(
                "E218", "the architecture is too large", span, f"more than {MAX_NODES:,} operators",
                help="repeat less",
            )  # fmt: skip

    def _deeper(self, span: Span) -> None:
        self._steps += 1
        if self._level >= MAX_LEVEL:
            raise mistake(
                "E218", "parts are nested too deep", span, f"more than {MAX_LEVEL} levels",
                help="put less into each other",
            )  # fmt: skip
        if self._steps > MAX_STEPS:
            raise mistake(
                "E218", "the architecture is too large", span, f"more than {MAX_STEPS:,} different parts",
                help="repeat less",
            )  # fmt: skip
        self._level += 1

    def _sequence(
        self, expr: t.Expr, scope: Scope, x: Feature, site: Site, place: Place, given: tuple[Cell, ...] = ()
    ) -> Nodes:
        expr = unwrap(expr)
        self._deeper(expr.span)
        try:
            match expr:
                case t.Pipeline():
                    if place is Place.BLOCK:
                        raise misplaced("a pipeline", expr.span)
                    return self._behind_each_other([(p, scope) for p in expr.parts], x, site, place)
                case t.Repeat():
                    count = count_of(expr.count, scope)
                    return self._behind_each_other([(expr.body, scope)] * count, x, site, place)
                case t.Name() if (local := local_of(expr, scope)) is not None:
                    nodes = self._value(value_of(local), expr, scope, x, site, place)
                    return (named(nodes[0], expr.id),) if len(nodes) == 1 else nodes
                case t.Name() | t.Call():
                    name = expr if isinstance(expr, t.Name) else expr.callee
                    callee = at_file_level(scope, name.id, name.span)
                    if callee is not None and not isinstance(callee, Cell):
                        return self._called(callee, expr, scope, x, site, place, given)
                    if isinstance(expr, t.Call) and (name.id == WINDOWS or isinstance(callee, Cell)):
                        raise not_a_network(Word(name.id), name, scope)
            return self._value(evaluate(expr, scope), expr, scope, x, site, place)
        finally:
            self._level -= 1

    def _behind_each_other(
        self, parts: Sequence[tuple[t.Expr, Scope]], x: Feature, site: Site, place: Place
    ) -> Nodes:
        out: list[Node] = []
        for expr, scope in parts:
            nodes = self._sequence(expr, scope, x, site, place)
            if nodes:
                out += nodes
                x = nodes[-1].output
        return tuple(out)

    def _value(self, value: Value, expr: t.Expr, scope: Scope, x: Feature, site: Site, place: Place) -> Nodes:
        if value is None:
            return ()
        if isinstance(value, Part):
            return self._sequence(value.expr, value.scope, x, site, place, value.given)
        if isinstance(value, Blocks) and not (value.joined and place is Place.PIPELINE):
            out: list[Node] = []
            for part in value.parts:
                nodes = self._value(part, expr, scope, x, site, place)
                out += nodes
                x = nodes[-1].output if nodes else x
            return tuple(out)
        raise not_a_network(value, expr, scope)

    def _called(
        self,
        callee: Callee,
        call: t.Name | t.Call,
        scope: Scope,
        x: Feature,
        site: Site,
        place: Place,
        given: tuple[Cell, ...],
    ) -> Nodes:
        refuse_kind(callee, call, place)
        signature = signature_of(callee)
        if isinstance(callee, Definition):
            refuse_circle(callee, call, scope)
            try:
                bound = bind(callee, signature, call, scope, site, given)
                key = (callee, *map(call_key, bound.items()), x, site)
                return self._remembered(
                    key, lambda: self._opened(callee, signature, bound, call, scope, x, site), call.span
                )
            except SpecError as error:
                raise lifted(error, callee, call, scope) from None
        bound = bind(callee, signature, call, scope, site, given)
        return self._operator(callee, signature, bound, call, x, site)

    def _opened(
        self,
        definition: Definition,
        signature: Signature,
        bound: Bound,
        call: t.Name | t.Call,
        scope: Scope,
        x: Feature,
        site: Site,
    ) -> Nodes:
        inside = Scope((definition.unit,), Body(dict(bound)), stack=(*scope.stack, (definition, call)))
        body = definition.tree.body
        if isinstance(body, tuple):
            nodes = self._lines(body, inside, x, site)
        else:
            place = Place.BLOCK if definition.is_block else Place.PIPELINE
            nodes = self._sequence(body, inside, x, site, place)
        made = bound_call(signature, bound, call.span)
        if len(nodes) == 1 and not isinstance(body, tuple):
            return (replace(nodes[0], name=definition.name, calls=(made, *nodes[0].calls), span=call.span),)
        if not nodes:
            return ()
        self._count(1, call.span)
        return (replace(chain(nodes, x, definition.name), calls=(made,), span=call.span),)

    def _lines(
        self, lines: tuple[t.BlockLine | t.Let | t.Require, ...], scope: Scope, x: Feature, site: Site
    ) -> Nodes:
        """The lines of a block; behind a faulty residual line the next ones are read too."""
        assert scope.body is not None
        wrong: list[Diagnostic] = []
        out: list[Node] = []
        for line in lines:
            try:
                if isinstance(line, t.Let):
                    cell = Cell(line.name, "let", "given", line.value, scope, name_span=line.name_span)
                    scope.body.names[line.name] = cell
                    value_of(cell)
                elif isinstance(line, t.Require):
                    require(line, scope)
                elif line.residual:
                    out.append(self._residual(line, scope, x, site))
                else:
                    nodes = self._sequence(line.pipeline, scope, x, site, Place.EITHER)
                    out += nodes
                    x = nodes[-1].output if nodes else x
            except SpecError as error:
                wrong += error.diagnostics
                if self.full or (isinstance(line, t.BlockLine) and not line.residual):
                    break
        if wrong:
            raise SpecError(*wrong)
        return tuple(out)

    def _residual(self, line: t.BlockLine, scope: Scope, x: Feature, site: Site) -> Node:
        def inner(f: Feature) -> Node:
            nodes = self._sequence(line.pipeline, scope, f, site, Place.PIPELINE)
            return nodes[0] if len(nodes) == 1 else chain(nodes, f, "inner")

        self._count(1, line.span)
        try:
            return replace(make_node(Residual(), x, (inner,)), span=line.span)
        except ShapeError as error:
            raise site.told(shape_mistake(error, {}, line.pipeline.span)) from None

    def _operator(
        self,
        kind: type[Op],
        signature: Signature,
        bound: Bound,
        call: t.Name | t.Call,
        x: Feature,
        site: Site,
    ) -> Nodes:
        op = make_operator(kind, signature, bound, call.span)
        self._count(1, call.span)
        builds: list[Callable[[Feature], Node]] = []
        key = site.open_routed() if kind.name == "routed" else ""
        for formal in signature.parts():
            listed = f"{formal.name}["
            names = [n for n in bound if n.startswith(listed)] if formal.variadic else [formal.name]
            builds += [self._part(bound[n], formal.name, site, key) for n in names if n in bound]
        share = ""
        if kind.name == "shared" and site.route is not None:
            share = site.route.next()
            self._shares += 1
        try:
            if op.vanishes(x):
                return ()
            node = make_node(op, x, builds)
        except ShapeError as error:
            raise site.told(shape_mistake(error, bound, call.span)) from None
        made = bound_call(signature, bound, call.span)
        return (Node(node.op, node.name, node.input, node.output, node.parts, (made,), share, call.span),)

    def _part(self, cell: Cell, parameter: str, site: Site, routed: str) -> Callable[[Feature], Node]:
        """A network given to an operator; inside `routed`, every use is a route of its own."""

        def build(x: Feature) -> Node:
            inside = site.within(Route(routed)) if routed else site
            expr, scope = cell.text()
            nodes = self._sequence(expr, scope, x, inside, Place.PIPELINE)
            if len(nodes) != 1:
                return chain(nodes, x, parameter if cell.origin != "given" else written_name(expr))
            return nodes[0] if cell.origin == "given" else named(nodes[0], parameter)

        return build
