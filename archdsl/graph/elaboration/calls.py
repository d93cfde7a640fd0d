"""Arguments to parameters: what a call gives, and where the rest comes from."""

from __future__ import annotations

from collections.abc import Sequence

from archdsl.diagnostics import Diagnostic, Span, did_you_mean
from archdsl.features import Word
from archdsl.graph.elaboration.evaluate import evaluate, unwrap, value_of
from archdsl.graph.elaboration.files import Definition, prelude
from archdsl.graph.elaboration.names import Callee
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.scopes import Body, Cell, Scope, Value
from archdsl.graph.elaboration.signature import Formal, Signature
from archdsl.graph.elaboration.site import Site
from archdsl.lang import tree as t

Bound = dict[str, Cell]
"""Every parameter that has a value; networks of a variadic one under its name with an index."""


def bind(
    callee: Callee,
    signature: Signature,
    call: t.Call | t.Name,
    scope: Scope,
    site: Site,
    given: Sequence[Cell] = (),
) -> Bound:
    """The value of each parameter: from the call, then from settings, from what is ambient, from defaults.

    Args:
        callee: whose parameters they are.
        signature: of the callee.
        call: its call, or its bare name.
        scope: where the call was written.
        site: where it is built.
        given: arguments that paths put there; they replace those of the call.

    Raises:
        SpecError: E202, E203, E204, E207 and those of the arguments, all of one call together.
    """
    arguments = call.arguments if isinstance(call, t.Call) else ()
    wrong: list[Diagnostic] = []
    got: Bound = {}
    for argument in arguments:
        try:
            name, cell = _argument(signature, argument, scope, got)
            got[name] = cell
        except SpecError as error:
            wrong += error.diagnostics
            if (meant := _meant(signature, argument)) is not None:
                got.setdefault(meant, Cell(meant, "parameter", "given", value=None))
    for cell in given:
        if cell.name not in signature.by_name:
            wrong += no_parameter(signature, cell.name, cell.name_span).diagnostics
        got[cell.name] = cell
    if wrong:
        raise SpecError(*wrong)  # one of them may be what seems missing
    return _completed(callee, signature, got, scope, site, call)


def _meant(signature: Signature, argument: t.Argument) -> str | None:
    """The parameter that a faulty argument was written for, if that is plain."""
    if argument.path is None:
        return None
    name = argument.path.steps[0].name
    return name if name in signature.by_name else None


def _argument(signature: Signature, argument: t.Argument, scope: Scope, got: Bound) -> tuple[str, Cell]:
    if argument.path is not None:
        return _named(signature, argument, scope, got)
    expr = argument.value
    formals = signature.by_name
    if isinstance(expr, t.Name) and expr.id in formals and not formals[expr.id].variadic:
        local = scope.find(expr.id)
        if local is not None or not formals[expr.id].part:
            _refuse_second(signature, expr.id, got, expr.span)
            value = True if local is None else evaluate(expr, scope)
            return expr.id, Cell(expr.id, "parameter", "given", expr, scope, value=value)
    formal = next((f for f in signature.formals if f.variadic or f.name not in got), None)
    if formal is None:
        raise too_many(signature, expr.span)
    name = formal.name
    if formal.variadic:
        name = f"{name}[{len(got)}]"
    return name, Cell(name, "parameter", "given", expr, scope, value=_value(formal, expr, scope))


def _named(signature: Signature, argument: t.Argument, scope: Scope, got: Bound) -> tuple[str, Cell]:
    path = argument.path
    assert path is not None
    name = path.steps[0].name
    if len(path.steps) > 1 or path.steps[0].index is not None:
        raise mistake(
            "E202", f"`{signature.name}` has no parameter `{path}`", path.span,
            "paths belong in variants of an arch", help="name a parameter",
        )  # fmt: skip
    formal = signature.by_name.get(name)
    if formal is None or formal.variadic:
        raise no_parameter(signature, name, path.span)
    _refuse_second(signature, name, got, path.span)
    return name, Cell(
        name, "parameter", "given", argument.value, scope,
        name_span=path.span, value=_value(formal, argument.value, scope),
    )  # fmt: skip


def _value(formal: Formal, expr: t.Expr, scope: Scope) -> Value:
    bare = unwrap(expr) if isinstance(expr, t.Name) else expr
    if isinstance(bare, t.Name) and bare.id in formal.choices:
        return Word(bare.id)
    return evaluate(expr, scope)


def _refuse_second(signature: Signature, name: str, got: Bound, span: Span) -> None:
    if name in got:
        raise mistake(
            "E207", f"`{name}` is given twice to `{signature.name}`", span, _before(got[name]),
            help=f"leave one out; its parameters are, in order: {listed(signature)}",
        )  # fmt: skip


def _before(first: Cell) -> str:
    if first.expr is None:
        return "given before"
    return f"given before in line {first.expr.span.line}, column {first.expr.span.column}"


def no_parameter(signature: Signature, name: str, span: Span | None) -> SpecError:
    """E202 with the nearest parameter, or all of them."""
    return mistake(
        "E202", f"`{signature.name}` has no parameter `{name}`", span,
        f"expected one of: {listed(signature)}" if signature.formals else "it takes none",
        help=did_you_mean(name, signature.by_name, "name one of them, or leave it out"),
    )  # fmt: skip


def too_many(signature: Signature, span: Span) -> SpecError:
    """E204 at the first argument that has no parameter left."""
    count = len(signature.formals)
    takes = f"takes {count} value{'s' if count != 1 else ''}" if count else "takes no values"
    return mistake(
        "E204", f"too many values for `{signature.name}`", span, f"`{signature.name}` {takes}",
        help=f"its parameters: {listed(signature)}" if count else f"write `{signature.name}`",
    )  # fmt: skip


def listed(signature: Signature) -> str:
    """The parameters in a message."""
    return ", ".join(f.name for f in signature.formals)


def _completed(
    callee: Callee, signature: Signature, got: Bound, scope: Scope, site: Site, call: t.Call | t.Name
) -> Bound:
    bound: Bound = {}
    inside: Scope | None = None
    if isinstance(callee, Definition):
        inside = Scope((callee.unit,), Body(bound), stack=(*scope.stack, (callee, call)))
    missing: list[str] = []
    for formal in signature.formals:
        name = formal.name
        if formal.variadic:
            bound.update((n, c) for n, c in got.items() if n.startswith(f"{name}["))
            continue
        cell = got.get(name)
        if cell is None and scope.open:
            site.wanted.add(name)
            cell = site.setting(name)
        if cell is None and formal.ambient:
            cell = site.ambient.get(name)
        if cell is None and formal.default is not None:
            default = inside or Scope((prelude(),))
            cell = Cell(name, "parameter", "default", formal.default, default)
        if cell is not None:
            value_of(cell)
            bound[name] = cell
        elif formal.required:
            missing.append(name)
    if missing:
        raise _missing(signature, missing, call, scope)
    return bound


def _missing(signature: Signature, names: list[str], call: t.Call | t.Name, scope: Scope) -> SpecError:
    these = " and ".join(f"`{n}`" for n in names)
    setting = f", or set `{names[0]} = ...` in the stage" if scope.open else ""
    return mistake(
        "E203", f"`{signature.name}` needs {these}", call.span, f"{these} not given",
        help=f"write `{signature.name}({names[0]} = ...)`{setting}",
    )  # fmt: skip
