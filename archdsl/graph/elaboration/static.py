"""What can be said about a text without building it: its names, and what its calls give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archdsl.graph.elaboration.calls import no_parameter, too_many
from archdsl.graph.elaboration.circles import refuse_circle
from archdsl.graph.elaboration.evaluate import WINDOWS, unwrap
from archdsl.graph.elaboration.files import Definition, Unit
from archdsl.graph.elaboration.names import Callee, at_file_level, callee_of, in_sight, unknown
from archdsl.graph.elaboration.places import Place, misplaced, not_a_network, refuse_kind
from archdsl.graph.elaboration.report import Report, SpecError, mistake
from archdsl.graph.elaboration.scopes import Body, Cell, Scope
from archdsl.graph.elaboration.signature import Signature, signature_of
from archdsl.lang import tree as t

MAX_NESTING = 100


def check_definitions(unit: Unit, report: Report) -> None:
    """The names in every mixer, block and value of a file, used or not."""
    for definition in unit.definitions.values():
        _check_definition(definition, report)
    check_values(unit, report)
    _check_circles(unit, report)


def check_values(unit: Unit, report: Report) -> None:
    """The names in the file-level values of a file, used or not."""
    for cell in unit.lets.values():
        expr, scope = cell.text()
        _Texts(report).expression(expr, scope)


def check_arch_lets(arch: t.ArchDef, unit: Unit, report: Report) -> None:
    """The names in the values of an arch's `let` lines, which nobody may use."""
    names = {p.name: Cell(p.name, "parameter", "default") for p in arch.parameters}
    for line in arch.body:
        if isinstance(line, t.Let | t.Setting):
            names[line.name] = Cell(line.name, "let", "given", name_span=line.name_span)
    scope = Scope((unit,), Body(names), open=True)
    for line in arch.body:
        if isinstance(line, t.Let):
            _Texts(report).expression(line.value, scope)


def names_in(tree: t.Node) -> set[str]:
    """Every bare name that stands in an arch, its stages included, or in a value."""
    found: set[str] = set()
    todo: list[object] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, t.Name):
            found.add(node.id)
        elif isinstance(node, tuple):
            todo += node
        elif isinstance(node, t.Node):
            todo += (getattr(node, name) for name in node.__match_args__ if name not in ("span", "name_span"))
    return found


def parameters_in_sight(scope: Scope) -> set[str]:
    """Parameters of everything that could be called here."""
    found: set[str] = set()
    for name in set(in_sight(scope)):
        try:
            callee = callee_of(scope, name)
        except SpecError:
            continue
        if callee is not None:
            found.update(signature_of(callee).by_name)
    return found


def _check_definition(definition: Definition, report: Report) -> None:
    tree = definition.tree
    names: dict[str, Cell] = {}
    scope = Scope((definition.unit,), Body(names))
    texts = _Texts(report)
    for p in tree.parameters:
        if p.name in names:
            report.add(
                *mistake(
                    "E207", f"`{p.name}` is defined twice", p.span, "already a parameter",
                    help="give one of them another name",
                ).diagnostics
            )  # fmt: skip
        if p.default is not None:
            texts.expression(p.default, scope)
        names[p.name] = Cell(p.name, "parameter", "given", p.default, scope, name_span=p.span)
    if not isinstance(tree.body, tuple):
        texts.part(tree.body, scope, Place.BLOCK if definition.is_block else Place.PIPELINE)
        return
    for line in tree.body:
        if isinstance(line, t.Let):
            texts.expression(line.value, scope)
            names[line.name] = Cell(line.name, "let", "given", line.value, scope, name_span=line.name_span)
        elif isinstance(line, t.BlockLine):
            texts.part(line.pipeline, scope, Place.PIPELINE if line.residual else Place.EITHER)


class _Texts:
    """Walks texts; every mistake goes to the report and the walk goes on."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._level = 0

    def part(self, expr: t.Expr, scope: Scope, place: Place) -> None:
        """A text in a pipeline or in `blocks`."""
        if self._level >= MAX_NESTING:
            return
        self._level += 1
        with self.report.guard():
            self._part(unwrap(expr), scope, place)
        self._level -= 1

    def _part(self, expr: t.Expr, scope: Scope, place: Place) -> None:
        match expr:
            case t.Pipeline():
                if place is Place.BLOCK:
                    raise misplaced("a pipeline", expr.span)
                for p in expr.parts:
                    self.part(p, scope, place)
            case t.Repeat():
                self.part(expr.body, scope, place)
            case t.Name():
                if scope.find(expr.id) is None:
                    found = at_file_level(scope, expr.id, expr.span)
                    if found is None:
                        raise unknown(scope, expr.id, expr.span)
                    if not isinstance(found, Cell):
                        refuse_kind(found, expr, place)
            case t.Call():
                callee = callee_of(scope, expr.callee.id, expr.callee.span)
                if callee is None:
                    raise unknown(scope, expr.callee.id, expr.callee.span, callee=True)
                refuse_kind(callee, expr, place)
                self._arguments(signature_of(callee), expr.arguments, scope)
            case t.Number() | t.String():
                raise not_a_network(expr.value, expr, scope)

    def expression(self, expr: t.Expr, scope: Scope) -> None:
        """A text that may be any value: networks in it are looked into, unknown names may be words."""
        if self._level >= MAX_NESTING:
            return
        self._level += 1
        with self.report.guard():
            expr = unwrap(expr)
            if isinstance(expr, t.Pipeline):
                self._part(expr, scope, Place.PIPELINE)
            elif isinstance(expr, t.Call):
                callee = callee_of(scope, expr.callee.id, expr.callee.span)
                if callee is not None:
                    self._arguments(signature_of(callee), expr.arguments, scope)
                elif expr.callee.id != WINDOWS and scope.find(expr.callee.id) is not None:
                    raise unknown(scope, expr.callee.id, expr.callee.span, callee=True)
            elif isinstance(expr, t.List):
                for item in expr.items:
                    self.expression(item, scope)
            elif isinstance(expr, t.Repeat):
                self.expression(expr.body, scope)
        self._level -= 1

    def _arguments(self, signature: Signature, arguments: Sequence[t.Argument], scope: Scope) -> None:
        free = [f for f in signature.formals if not f.variadic]
        variadic = len(free) < len(signature.formals)
        taken: set[str] = set()
        for argument in arguments:
            with self.report.guard():
                value = argument.value
                name = str(argument.path) if argument.path is not None else None
                if name is None and isinstance(value, t.Name) and self._by_name(signature, value.id, scope):
                    name = value.id
                if name is not None:
                    formal = signature.by_name.get(name)
                    if (formal is None or formal.variadic) and argument.path is not None:
                        raise no_parameter(signature, name, argument.path.span)
                    taken.add(name)
                elif not variadic:
                    left = next((f for f in free if f.name not in taken), None)
                    if left is None:
                        raise too_many(signature, value.span)
                    taken.add(left.name)
            self.expression(argument.value, scope)

    @staticmethod
    def _by_name(signature: Signature, name: str, scope: Scope) -> bool:
        formal = signature.by_name.get(name)
        return (
            formal is not None and not formal.variadic and (not formal.part or scope.find(name) is not None)
        )


def _check_circles(unit: Unit, report: Report) -> None:
    """Mixers and blocks that lead back to themselves, also where nobody uses them."""
    edges = {d: tuple(_calls(d)) for d in unit.definitions.values()}
    done: set[Definition] = set()
    for start, first in edges.items():
        stack: list[tuple[Definition, Iterator[tuple[Definition, t.Name | t.Call]]]] = []
        calls: list[tuple[Definition, t.Name | t.Call]] = []
        if start in done:
            continue
        stack.append((start, iter(first)))
        calls.append((start, t.Name(start.tree.name_span, start.name)))
        while stack:
            _, rest = stack[-1]
            step = next(rest, None)
            if step is None:
                done.add(stack.pop()[0])
                calls.pop()
                continue
            target, call = step
            with report.guard():
                refuse_circle(target, call, Scope((unit,), stack=tuple(calls)))
                if target not in done and target in edges:
                    stack.append((target, iter(edges[target])))
                    calls.append((target, call))


def _calls(definition: Definition) -> Iterator[tuple[Definition, t.Name | t.Call]]:
    """The definitions that a definition's text names, with where; names of its own parameters left out."""
    body = definition.tree.body
    lets = {line.name for line in body if isinstance(line, t.Let)} if isinstance(body, tuple) else set()
    own = {p.name for p in definition.tree.parameters} | lets
    scope = Scope((definition.unit,))
    todo: list[object] = [body, *(p.default for p in definition.tree.parameters)]
    while todo:
        node = todo.pop(0)
        if isinstance(node, tuple):
            todo[:0] = node
            continue
        if not isinstance(node, t.Node):
            continue
        if isinstance(node, t.Name | t.Call):
            name = node.id if isinstance(node, t.Name) else node.callee.id
            if isinstance(node, t.Call) or name not in own:
                found = _definition(scope, name)
                if found is not None:
                    yield found, node
        if isinstance(node, t.Call):
            todo[:0] = _networks(node, scope)
        elif not isinstance(node, t.Name):
            todo[:0] = [getattr(node, n) for n in node.__match_args__ if n not in ("span", "name_span")]


def _networks(call: t.Call, scope: Scope) -> list[t.Expr]:
    """Arguments that may be networks: no bare names that mean a parameter or a choice of the callee."""
    try:
        callee = callee_of(scope, call.callee.id)
    except SpecError:
        return []
    formals = signature_of(callee).formals if callee is not None else ()
    words = {w for f in formals for w in (*f.choices, *(() if f.part else (f.name,)))}
    values = [a.value for a in call.arguments]
    return [v for v in values if not (isinstance(v, t.Name) and v.id in words)]


def _definition(scope: Scope, name: str) -> Definition | None:
    try:
        found: Callee | Cell | None = at_file_level(scope, name)
    except SpecError:
        return None
    return found if isinstance(found, Definition) else None
