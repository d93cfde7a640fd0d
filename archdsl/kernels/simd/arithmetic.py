"""Values of routines: what is known while compiling, or an LLVM value; conversions and arithmetic of both."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types

from archdsl.kernels.simd.memory import LONG
from archdsl.kernels.simd.vector import FLOAT, FLOATS, Builder, Value, constant

BIT = ir.IntType(1)

INTEGERS: dict[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.BitAnd: "and_",
    ast.BitOr: "or_",
    ast.LShift: "shl",
    ast.RShift: "ashr",
}
FLOATING: dict[type[ast.AST], str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
KNOWN: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
SIGNS: dict[type[ast.AST], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


def is_value(v: Any) -> bool:
    """Whether it is known only when the kernel runs."""
    return isinstance(v, ir.Value)


class Arithmetic:
    """What can be done with values at the builder's place; results of known values are known."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def binary(self, kind: type[ast.AST], a: Any, b: Any) -> Any:
        if not is_value(a) and not is_value(b):
            return KNOWN[kind](a, b)
        like = (a if is_value(a) else b).type
        a, b = self.as_type(a, like), self.as_type(b, like)
        if like == LONG and kind in (ast.FloorDiv, ast.Mod):
            return self.floor_divided(a, b, kind is ast.Mod)
        name = (INTEGERS if like == LONG else FLOATING).get(kind)
        if name is None or like == BIT:
            raise TypeError(f"no {kind.__name__} of {like}")
        return getattr(self.builder, name)(a, b)

    def floor_divided(self, a: Value, b: Value, rest: bool) -> Value:
        """a // b or a % b of Python for b > 0."""
        builder, zero = self.builder, ir.Constant(LONG, 0)
        left = builder.srem(a, b)
        below = builder.icmp_signed("<", left, zero)
        if rest:
            return builder.select(below, builder.add(left, b), left)
        return builder.sub(builder.sdiv(a, b), builder.zext(below, LONG))

    def compared(self, kind: type[ast.AST], a: Any, b: Any) -> Any:
        if not is_value(a) and not is_value(b):
            return KNOWN[kind](a, b)
        like = (a if is_value(a) else b).type
        a, b = self.as_type(a, like), self.as_type(b, like)
        if like == FLOAT:
            return self.builder.fcmp_ordered(SIGNS[kind], a, b)
        return self.builder.icmp_signed(SIGNS[kind], a, b)

    def joined(self, a: Any, b: Any) -> Any:
        """Whether one of two is true."""
        if is_value(a) and is_value(b):
            return self.builder.or_(a, b)
        known, other = (b, a) if is_value(a) else (a, b)
        return True if known else other

    def extreme(self, least: bool, a: Any, b: Any) -> Any:
        """min or max of two."""
        if not is_value(a) and not is_value(b):
            return min(a, b) if least else max(a, b)
        like = (a if is_value(a) else b).type
        a, b = self.as_type(a, like), self.as_type(b, like)
        return self.builder.select(self.compared(ast.Lt if least else ast.Gt, a, b), a, b)

    def either(self, test: Value, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Value:
        """One of two values, of which only that one is computed."""
        found: list[tuple[Any, Any]] = []
        ends = []
        blocks = [self.builder.append_basic_block(n) for n in ("then", "otherwise")]
        after = self.builder.append_basic_block("either")
        self.builder.cbranch(test, *blocks)
        for block, side in zip(blocks, (then, otherwise), strict=True):
            self.builder.position_at_end(block)
            ends.append((side(), self.builder.block))
        like = next((v.type for v, _ in ends if is_value(v)), None)
        for value, block in ends:
            self.builder.position_at_end(block)
            found.append((self.as_value(value) if like is None else self.as_type(value, like), block))
            self.builder.branch(after)
        self.builder.position_at_end(after)
        result = self.builder.phi(found[0][0].type)
        for value, block in found:
            result.add_incoming(value, block)
        return result

    def truth(self, value: Any) -> Any:
        """A value as a test."""
        if is_value(value) and value.type == LONG:
            return self.builder.icmp_signed("!=", value, ir.Constant(LONG, 0))
        return value

    def integer(self, value: Any) -> Value:
        return self.as_type(value, LONG)

    def as_value(self, value: Any) -> Value:
        """What is known while compiling as a value."""
        if isinstance(value, bool):
            return ir.Constant(BIT, int(value))
        if isinstance(value, int):
            return ir.Constant(LONG, value)
        if isinstance(value, float):
            return ir.Constant(FLOAT, value)
        if not is_value(value):
            raise TypeError(f"a {type(value).__name__} is no value of a kernel")
        return value

    def as_type(self, value: Any, like: ir.Type) -> Value:
        """A value of a type."""
        if not is_value(value):
            if like == FLOATS:
                return constant(float(value))
            return ir.Constant(like, float(value) if like == FLOAT else int(value))
        if value.type == BIT and like == LONG:
            return self.builder.zext(value, LONG)
        if value.type != like:
            raise TypeError(f"a value of {value.type} where one of {like} is wanted")
        return value

    def as_numba(self, value: Any, wanted: Any) -> Any:
        """An argument of an operation."""
        if wanted is int:
            return value
        return self.as_type(value, {types.int64: LONG, types.float32: FLOAT}.get(wanted, FLOATS))
