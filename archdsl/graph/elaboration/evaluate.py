"""From expressions to values. Networks stay unevaluated: they become parts, with the scope of their text."""

from __future__ import annotations

from fractions import Fraction

from archdsl.features import Word
from archdsl.graph.elaboration.arithmetic import FUNCTIONS, arithmetic, bounded, compare, whole
from archdsl.graph.elaboration.names import at_file_level, callee_of, unknown
from archdsl.graph.elaboration.report import SpecError, mistake
from archdsl.graph.elaboration.scopes import Blocks, Cell, Part, Scope, Unset, Value
from archdsl.graph.elaboration.sequences import MAX_BLOCKS, bounded_list, element, elements, joined, repeated
from archdsl.lang import tree as t
from archdsl.ops._types import SAME, describe

MAX_NESTING = 100
WINDOWS = "windows"
"""The word that cuts a whole stage: `within = windows(14)`."""


def unwrap(expr: t.Expr) -> t.Expr:
    """The expression without parentheses around it."""
    while isinstance(expr, t.Parens):
        expr = expr.inner
    return expr


def written(expr: t.Expr, scope: Scope) -> tuple[t.Expr, Scope]:
    """The text that a value was read from: bare names of locals are followed to what they stand for."""
    for _ in range(MAX_NESTING):
        expr = unwrap(expr)
        cell = scope.find(expr.id) if isinstance(expr, t.Name) else None
        if cell is None or cell.expr is None or cell.scope is None:
            break
        expr, scope = cell.expr, cell.scope
    return expr, scope


def value_of(cell: Cell, depth: int = 0) -> Value:
    """What a name stands for, computed once.

    Raises:
        SpecError: from its text, again for everyone who asks.
    """
    if cell.error is not None:
        raise cell.error
    if not isinstance(cell.value, Unset):
        return cell.value
    if cell.busy:
        raise mistake(
            "E208", f"`{cell.name}` is defined by itself", cell.span, "needs its own value",
            help="take its value from something else",
        )  # fmt: skip
    cell.busy = True
    try:
        expr, scope = cell.text()
        cell.value = evaluate(expr, scope, depth + 1)
    except SpecError as error:
        cell.error = error
        raise
    finally:
        cell.busy = False
    return cell.value


def evaluate(expr: t.Expr, scope: Scope, depth: int = 0) -> Value:
    """The value of an expression.

    Raises:
        SpecError: E201, E205, E208, E210, E215, E218.
    """
    expr = unwrap(expr)
    if depth > MAX_NESTING:
        raise mistake(
            "E218", "values are nested too deep", expr.span, f"more than {MAX_NESTING} levels",
            help="write the value out",
        )  # fmt: skip
    match expr:
        case t.Number():
            return bounded(expr.value, expr.span)
        case t.Name():
            return _name(expr, scope, depth)
        case t.Constant():
            return expr.value
        case t.Call():
            return _call(expr, scope, depth)
        case t.Pipeline():
            return Part(expr, scope)
        case t.Repeat():
            return _repeat(expr, scope, depth)
        case t.Binary():
            return _sum_or_product(expr, scope, depth)
        case t.List():
            return bounded_list(tuple(evaluate(i, scope, depth + 1) for i in expr.items), expr.span)
        case t.Index() | t.Slice():
            return _element(expr, scope, depth)
        case t.Unary():
            operand = _operand(expr.operand, scope, depth)
            return arithmetic("-", Fraction(0), operand, expr.span, expr.operand.span)
        case t.Same():
            return SAME
        case t.String():
            return expr.value
        case t.Compare():
            side = evaluate if expr.operator in ("==", "!=") else _operand
            left, right = (side(e, scope, depth + 1) for e in (expr.left, expr.right))
            return compare(expr.operator, left, right, expr.left.span, expr.right.span)
        case t.Logic():
            return _logic(expr, scope, depth)
        case t.Not():
            return not _truth(expr.operand, scope, depth)
        case t.Member():
            raise mistake(
                "E205", "a value has no members", expr.span, f"`.{expr.name}` belongs in a path",
                help="paths stand on the left of `=` in variants and overrides",
            )  # fmt: skip
        case _:
            raise mistake(
                "E205", "a range belongs in a search", expr.span, "found a range", help="write one value"
            )


def local_of(expr: t.Name, scope: Scope) -> Cell | None:
    """The local that a name means, if it means one; it counts as used.

    Raises:
        SpecError: E201 for a slot's default where the slot is set on a line below.
    """
    local = scope.find(expr.id)
    if local is None:
        return None
    if local.kind == "predefined" and scope.below(expr.id) is not None:
        raise unknown(scope, expr.id, expr.span)
    local.used = True
    return local


def _name(expr: t.Name, scope: Scope, depth: int) -> Value:
    local = local_of(expr, scope)
    if local is not None:
        return value_of(local, depth)
    found = at_file_level(scope, expr.id, expr.span)
    if isinstance(found, Cell):
        return _file_let(found, depth)
    if found is not None or expr.id == WINDOWS:
        return Part(expr, scope)
    if scope.below(expr.id) is not None:
        raise unknown(scope, expr.id, expr.span)
    return Word(expr.id)


def _file_let(cell: Cell, depth: int) -> Value:
    """A value of a file; those above it are computed first, so that long files do not nest."""
    body = cell.scope.body if cell.scope is not None else None
    for above in body.names.values() if body is not None else ():
        if above is cell:
            break
        if above.error is None and isinstance(above.value, Unset) and not above.busy:
            try:
                value_of(above, depth)
            except SpecError:
                continue  # told to whoever asks for it
    return value_of(cell, depth)


def _call(expr: t.Call, scope: Scope, depth: int) -> Value:
    name = expr.callee.id
    if callee_of(scope, name, expr.callee.span) is not None or name == WINDOWS:
        return Part(expr, scope)
    if name in FUNCTIONS:
        return _function(expr, scope, depth)
    if scope.find(name) is not None or at_file_level(scope, name) is not None:
        raise unknown(scope, name, expr.callee.span, callee=True)
    args: list[object] = []
    kwargs: list[tuple[str, object]] = []
    for argument in expr.arguments:
        value = evaluate(argument.value, scope, depth + 1)
        if argument.path is None:
            args.append(value)
        else:
            kwargs.append((str(argument.path), value))
    word = Word(name, tuple(args), tuple(kwargs))
    bounded_list((word,), expr.span)
    return word


def _function(expr: t.Call, scope: Scope, depth: int) -> Value:
    name = expr.callee.id
    count, function = FUNCTIONS[name]
    for argument in expr.arguments:
        if argument.path is not None:
            raise mistake(
                "E202", f"`{name}` has no named parameters", argument.path.span, "found a name",
                help="write the value alone",
            )  # fmt: skip
    if len(expr.arguments) > count > 0:
        raise mistake(
            "E204", f"`{name}` takes one value", expr.arguments[count].span, "this is one more",
            help="leave it out",
        )  # fmt: skip
    if not expr.arguments:
        raise mistake(
            "E203",
            f"`{name}` needs a value",
            expr.span,
            "found none",
            help=f"write `{name}(...)` with a number",
        )
    values = [_operand(argument.value, scope, depth) for argument in expr.arguments]
    return bounded(function(tuple(values), tuple(a.value.span for a in expr.arguments)), expr.span)


def unknown_word(value: Word, expr: t.Expr, scope: Scope) -> SpecError:
    """E201 at the text that gave a word, where a word has no meaning."""
    expr, scope = written(expr, scope)
    if isinstance(expr, t.Call):
        return unknown(scope, value.name, expr.callee.span, callee=True)
    return unknown(scope, value.name, expr.span)


def count_of(expr: t.Expr, scope: Scope, depth: int = 0) -> int:
    """The number of copies left of `x`.

    Raises:
        SpecError: E201, E205, E215, E218.
    """
    value = _operand(expr, scope, depth)
    count = whole(value, expr.span, "a whole number of copies")
    if count < 0:
        raise mistake(
            "E218",
            "a number of copies is negative",
            expr.span,
            f"this is {count}",
            help="let it be at least 0",
        )
    if count > MAX_BLOCKS:
        raise mistake(
            "E218",
            "too many blocks",
            expr.span,
            f"{count:,} copies",
            help=f"repeat at most {MAX_BLOCKS:,} times",
        )
    return count


def _repeat(expr: t.Repeat, scope: Scope, depth: int) -> Value:
    count = count_of(expr.count, scope, depth)
    return repeated(count, _operand(expr.body, scope, depth), expr)


def _operand(expr: t.Expr, scope: Scope, depth: int) -> Value:
    """The value of an expression where a word has no meaning."""
    value = evaluate(expr, scope, depth + 1)
    if isinstance(value, Word):
        raise unknown_word(value, expr, scope)
    return value


def _sum_or_product(expr: t.Binary, scope: Scope, depth: int) -> Value:
    """Long sums lean to the left, so their spine is walked and not nested."""
    spine: list[t.Binary] = []
    left: t.Expr = expr
    while isinstance(left, t.Binary):
        spine.append(left)
        left = unwrap(left.left)
    value = _operand(left, scope, depth)
    for node in reversed(spine):
        right = _operand(node.right, scope, depth)
        networks = isinstance(value, Part | Blocks) or isinstance(right, Part | Blocks)
        if node.operator == "+" and networks:
            value = joined(value, right, node)
        else:
            value = arithmetic(node.operator, value, right, node.left.span, node.right.span)
    return value


def _element(expr: t.Index | t.Slice, scope: Scope, depth: int) -> Value:
    spine: list[t.Index | t.Slice] = []
    base: t.Expr = expr
    while isinstance(base, t.Index | t.Slice):
        spine.append(base)
        base = unwrap(base.base)
    value = _operand(base, scope, depth)
    for node in reversed(spine):
        if isinstance(node, t.Index):
            at = whole(_operand(node.index, scope, depth), node.index.span)
            value = element(value, at, node.base.span, node.index.span)
        else:
            start = whole(_operand(node.start, scope, depth), node.start.span)
            stop = whole(_operand(node.stop, scope, depth), node.stop.span)
            value = elements(value, node.base.span)[start:stop]
    return value


def _logic(expr: t.Logic, scope: Scope, depth: int) -> Value:
    spine: list[t.Logic] = []
    left: t.Expr = expr
    while isinstance(left, t.Logic):
        spine.append(left)
        left = unwrap(left.left)
    value = _truth(left, scope, depth)
    for node in reversed(spine):
        if value != (node.operator == "or"):
            value = _truth(node.right, scope, depth)
    return value


def _truth(expr: t.Expr, scope: Scope, depth: int) -> bool:
    value = _operand(expr, scope, depth)
    if not isinstance(value, bool):
        raise mistake(
            "E205", "expected a condition", expr.span, f"found {describe(value)}", help="compare: `a == b`"
        )
    return value
