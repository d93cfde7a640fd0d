"""Trees of values with some of their parts replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from archdsl.diagnostics import Span
from archdsl.lang import tree as t

ONE_OF = "one_of"


def parts_of(expr: t.Expr) -> tuple[t.Expr, ...]:
    """The values directly inside a value, in the order of the text; none for what can hold no choices."""
    match expr:
        case t.List(items=items):
            return items
        case t.Call(arguments=arguments):
            return tuple(a.value for a in arguments)
        case t.Index(base=base, index=index):
            return base, index
        case t.Slice(base=base, start=start, stop=stop):
            return base, start, stop
        case t.Unary(operand=operand):
            return (operand,)
        case t.Binary(left=left, right=right) | t.Compare(left=left, right=right):
            return left, right
        case t.Logic(left=left, right=right):
            return left, right
        case t.Not(operand=operand):
            return (operand,)
        case t.Repeat(count=count, body=body):
            return count, body
        case t.Parens(inner=inner):
            return (inner,)
        case t.Pipeline(parts=parts):
            return parts
        case t.Range(low=low, high=high, step=step):
            return (low, high) if step is None else (low, high, step)
    return ()


def rebuilt(expr: t.Expr, parts: Sequence[t.Expr]) -> t.Expr:
    """The value with other values inside it, in the order of `parts_of`; itself where they are the same."""
    if all(a is b for a, b in zip(parts_of(expr), parts, strict=True)):
        return expr
    match expr:
        case t.List():
            return replace(expr, items=tuple(parts))
        case t.Call(arguments=arguments):
            pairs = zip(arguments, parts, strict=True)
            return replace(expr, arguments=tuple(replace(a, value=p) for a, p in pairs))
        case t.Index():
            return replace(expr, base=parts[0], index=parts[1])
        case t.Slice():
            return replace(expr, base=parts[0], start=parts[1], stop=parts[2])
        case t.Unary():
            return replace(expr, operand=parts[0])
        case t.Binary(operator="+"):
            return unrolled_sum(expr, parts)
        case t.Binary() | t.Compare() | t.Logic():
            return replace(expr, left=parts[0], right=parts[1])
        case t.Not():
            return replace(expr, operand=parts[0])
        case t.Repeat():
            return replace(expr, count=parts[0], body=parts[1])
        case t.Parens():
            return replace(expr, inner=parts[0])
        case t.Pipeline():
            inside = (p.parts if isinstance(p, t.Pipeline) else (p,) for p in parts)
            return replace(expr, parts=tuple(part for those in inside for part in those))
    raise TypeError(f"nothing inside {type(expr).__name__} can be replaced")


def unrolled_sum(expr: t.Binary, parts: Sequence[t.Expr]) -> t.Expr:
    """`a + b` with other sides; sums lean to the left, and `none + none` is `none`."""
    if all(isinstance(p, t.Constant) and p.value is None for p in parts):
        return parts[0]
    out = parts[0]
    for term in terms(parts[1]):
        out = replace(expr, left=out, right=term)
    return out


def terms(expr: t.Expr) -> list[t.Expr]:
    """The terms of a sum, from left to right."""
    back: list[t.Expr] = []
    while isinstance(expr, t.Binary) and expr.operator == "+":
        back.append(expr.right)
        expr = expr.left
    return [expr, *reversed(back)]


def unrolled(copies: Sequence[t.Expr], joint: str, span: Span) -> t.Expr:
    """Copies behind one another; `none` among them is left out.

    Args:
        copies: values.
        joint: `+` for blocks, `->` for parts of a pipeline.
        span: of what they stand for.
    """
    there = [c for c in copies if not (isinstance(c, t.Constant) and c.value is None)]
    if not there:
        return t.Constant(span, None)
    if joint == "->":
        parts = [p for c in there for p in (c.parts if isinstance(c, t.Pipeline) else (c,))]
        return parts[0] if len(parts) == 1 else t.Pipeline(span, tuple(parts))
    first, *rest = [term for c in there for term in terms(c)]
    for term in rest:
        first = t.Binary(span, "+", first, term)
    return first


def unwrapped(expr: t.Expr) -> t.Expr:
    """The value without parentheses around it."""
    while isinstance(expr, t.Parens):
        expr = expr.inner
    return expr


def plain(expr: t.Expr) -> t.Expr:
    """The value without the parentheses that no reader needs; those around a bare argument stay."""
    if isinstance(expr, t.Parens):
        return plain(expr.inner)
    inside = [p if _kept(expr, p) else plain(p) for p in parts_of(expr)]
    if isinstance(expr, t.Range | t.Compare | t.Logic | t.Not):
        return expr
    return rebuilt(expr, inside) if inside else expr


def _kept(around: t.Expr, part: t.Expr) -> bool:
    """Whether parentheses mean something: `f((name))` is the value of the name, never `f(name = on)`."""
    return isinstance(around, t.Call) and isinstance(part, t.Parens) and isinstance(part.inner, t.Name)


def walk(expr: t.Expr) -> Iterator[t.Expr]:
    """A value and all values inside it."""
    yield expr
    for part in parts_of(expr):
        yield from walk(part)


def is_choice(expr: t.Expr) -> bool:
    """Whether it is `one_of`, called or not, or a repetition with `each`."""
    if isinstance(expr, t.Repeat):
        return expr.each
    return (isinstance(expr, t.Call) and expr.callee.id == ONE_OF) or (
        isinstance(expr, t.Name) and expr.id == ONE_OF
    )
