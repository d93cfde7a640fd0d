"""The value type `float32x16`: how it is held, its operators, and how to make one and reduce one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, register_model

WIDTH = 16
FLOAT = ir.FloatType()
INT = ir.IntType(32)
FLOATS = ir.VectorType(FLOAT, WIDTH)
INTS = ir.VectorType(INT, WIDTH)

Builder = Any
Value = Any


class Float32x16(types.Type):
    """Sixteen float32 numbers that the compiler keeps in vector registers."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


float32x16 = Float32x16()


@register_model(Float32x16)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, FLOATS)


class Operation(NamedTuple):
    """How an operation is built, for those who build without Numba's compiler.

    Args:
        build: gets the builder, the arguments, and the `Element` in memory where it takes one.
        arguments: their Numba types; `int` for one that has to be known while compiling.
        in_memory: whether one more argument may tell the type in memory.
    """

    build: Callable[..., Any]
    arguments: tuple[Any, ...]
    in_memory: bool = False


def typed(typing: Callable[..., Any]) -> Any:
    """A function for kernels out of one that, for the types of arguments, gives a signature and a builder."""
    return intrinsic(prefer_literal=False)(typing)


def operation(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """A function for kernels out of one that builds its instructions.

    Args:
        result, arguments: their Numba types; arguments are converted to them.

    The decorated function gets the builder and the arguments as LLVM values; it returns one, several in a
    list for a tuple, or None.
    """

    def decorate(build: Callable[..., Any]) -> Any:
        def generate(context: Any, builder: Builder, _: Any, values: tuple[Value, ...]) -> Value:
            return finished(context, builder, result, build(builder, *values))

        function = typed(_typing(build, signature(result, *arguments), generate))
        function.operation = Operation(build, arguments)
        return function

    return decorate


def finished(context: Any, builder: Builder, result: Any, built: Any) -> Value:
    """What was built as Numba wants it."""
    if built is None:
        return context.get_dummy_value()
    return context.make_tuple(builder, result, built) if isinstance(built, list) else built


def parameters(names: Sequence[str]) -> Signature:
    """A signature of Python: Numba counts parameters."""
    return Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])


def _typing(build: Callable[..., Any], signed: Any, generate: Any) -> Any:
    """A typing function that seems to have as many parameters as the signature has."""

    def typing(typing_context: Any, *arguments: Any) -> Any:
        return signed, generate

    names = [f"argument_{i}" for i in range(len(signed.args))]
    typing.__signature__ = parameters(["typing_context", *names])  # type: ignore[attr-defined]
    return named(typing, build)


def named(function: Any, like: Callable[..., Any]) -> Any:
    """The function with name and description of another."""
    function.__name__ = function.__qualname__ = like.__name__
    function.__module__, function.__doc__ = like.__module__, like.__doc__
    return function


def constant(number: float, like: ir.VectorType = FLOATS) -> Value:
    """The number in every lane."""
    element = like.element
    return ir.Constant(like, [ir.Constant(element, number)] * WIDTH)


def spread(builder: Builder, scalar: Value) -> Value:
    """A scalar in every lane."""
    vector = ir.VectorType(scalar.type, WIDTH)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), ir.Constant(INTS, [0] * WIDTH))


def multiply_add(builder: Builder, a: Value, b: Value, c: Value) -> Value:
    """a b + c, with one rounding where the machine can, with two where it can't."""
    function = builder.module.globals.get("llvm.fmuladd.v16f32")
    if function is None:
        kind = ir.FunctionType(FLOATS, [FLOATS] * 3)
        function = ir.Function(builder.module, kind, "llvm.fmuladd.v16f32")
    return builder.call(function, [a, b, c])


def choose_less(builder: Builder, a: Value, b: Value, then: Value, otherwise: Value) -> Value:
    """`then` where a < b, `otherwise` where not and where a or b is NaN."""
    return builder.select(builder.fcmp_ordered("<", a, b), then, otherwise)


@operation(float32x16, types.float32)
def splat(builder: Builder, scalar: Value) -> Value:
    """The scalar in every lane."""
    return spread(builder, scalar)


@operation(float32x16, float32x16, float32x16, float32x16)
def fma(builder: Builder, a: Value, b: Value, c: Value) -> Value:
    """a b + c, fused where the machine can."""
    return multiply_add(builder, a, b, c)


@operation(float32x16, float32x16, float32x16)
def minimum(builder: Builder, a: Value, b: Value) -> Value:
    """The smaller one; `b` where either is NaN."""
    return choose_less(builder, a, b, a, b)


@operation(float32x16, float32x16, float32x16)
def maximum(builder: Builder, a: Value, b: Value) -> Value:
    """The larger one; `b` where either is NaN."""
    return choose_less(builder, b, a, a, b)


@operation(float32x16, float32x16, float32x16, float32x16, float32x16)
def where_less(builder: Builder, a: Value, b: Value, then: Value, otherwise: Value) -> Value:
    """`then` where a < b, `otherwise` where not and where a or b is NaN."""
    return choose_less(builder, a, b, then, otherwise)


@operation(float32x16, float32x16, float32x16)
def larger_size(builder: Builder, a: Value, b: Value) -> Value:
    """The larger of |a| and |b|; NaN where either is."""
    mask = constant(0x7FFFFFFF, INTS)
    x, y = (builder.and_(builder.bitcast(v, INTS), mask) for v in (a, b))
    return builder.bitcast(builder.select(builder.icmp_signed("<", x, y), y, x), FLOATS)


@operation(types.boolean, float32x16, float32x16)
def all_less(builder: Builder, a: Value, b: Value) -> Value:
    """Whether a < b in every lane; false where either is NaN."""
    bits = builder.bitcast(builder.fcmp_ordered("<", a, b), ir.IntType(WIDTH))
    return builder.icmp_unsigned("==", bits, ir.Constant(ir.IntType(WIDTH), 2**WIDTH - 1))


@operation(types.float32, float32x16)
def total(builder: Builder, v: Value) -> Value:
    """The sum of the lanes, halves first: the same order on every machine."""
    for half in (8, 4, 2, 1):
        order = [(i + half) % WIDTH for i in range(WIDTH)]
        v = builder.fadd(v, builder.shuffle_vector(v, v, ir.Constant(INTS, order)))
    return builder.extract_element(v, ir.Constant(INT, 0))


def _define(sign: Any, *builds: tuple[str, int]) -> None:
    """One operator of Python: (name of the instruction, number of operands)."""
    cases = [signature(float32x16, *[float32x16] * operands) for _, operands in builds]
    infer_global(sign)(type(f"Float32x16_{sign.__name__}", (ConcreteTemplate,), {"cases": cases}))
    for name, operands in builds:

        def lower(context: Any, builder: Builder, _: Any, values: Any, name: str = name) -> Value:
            return getattr(builder, name)(*values)

        lower_builtin(sign, *[float32x16] * operands)(lower)


_define(operator.add, ("fadd", 2))
_define(operator.sub, ("fsub", 2))
_define(operator.mul, ("fmul", 2))
_define(operator.truediv, ("fdiv", 2))
_define(operator.neg, ("fneg", 1))
