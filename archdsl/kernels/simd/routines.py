"""Functions that become LLVM instructions directly, put into the kernels that call them.

Numba takes milliseconds for every statement it compiles, and compiles each function that a kernel calls once
more by itself. A scan is thousands of statements over a handful of types, so `@routine` functions go past it:
their source is read once, and every expression is one instruction or one operation of this package.

They are written in a part of Python. Values are int64, float32, bool, `float32x16`, and (named) tuples; what
is known while compiling (numbers, globals, the type of a sequence) is computed there and then. Statements:
assignment, `if`, `while`, `for` over a `range` whose step is a number, calls, and one `return`, at the end. A
name keeps its type.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter, Signature
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

from numba.core import types
from numba.core.typing.templates import signature

from archdsl.kernels.simd.arithmetic import BIT
from archdsl.kernels.simd.elements import element_of
from archdsl.kernels.simd.emission import Emission, Integers, Routine
from archdsl.kernels.simd.memory import LONG
from archdsl.kernels.simd.vector import FLOAT, Builder, Value, named, typed

P = ParamSpec("P")
R = TypeVar("R")


def routine(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function put into kernels and into other routines, past Numba's compiler.

    Kernels call it with int64, float32, bool, `float32x16`, arrays of int64 (read as `p[i]`), what tells
    a type in memory, and named tuples of them; for a kernel it returns nothing.
    """
    assert isinstance(function, FunctionType)
    own = Routine(function)

    def typing(typing_context: Any, *given: Any) -> Any:
        def generate(context: Any, builder: Builder, signed: Any, values: Any) -> Value:
            arguments = [_taken(builder, t, v) for t, v in zip(signed.args, values, strict=True)]
            Emission(builder, own, arguments).run()
            return context.get_dummy_value()

        return signature(types.none, *given), generate

    names = ["typing_context", *inspect.signature(function).parameters]
    typing.__signature__ = Signature([Parameter(n, Parameter.POSITIONAL_OR_KEYWORD) for n in names])  # type: ignore[attr-defined]
    result = typed(named(typing, function))
    result.routine = own
    return cast("Callable[P, R]", result)


def _taken(builder: Builder, numba_type: Any, value: Value) -> Any:
    """An argument of a kernel as routines see it."""
    if isinstance(numba_type, types.Array) and numba_type.dtype == types.int64:
        return Integers(builder.ptrtoint(builder.extract_value(value, 4), LONG))
    if isinstance(numba_type, types.Array | types.DType):
        return element_of(numba_type)
    if isinstance(numba_type, types.BaseTuple):
        kinds: Any = numba_type
        parts = [_taken(builder, t, builder.extract_value(value, i)) for i, t in enumerate(kinds)]
        return kinds.instance_class(*parts) if hasattr(kinds, "instance_class") else tuple(parts)
    if isinstance(numba_type, types.Boolean):
        return builder.trunc(value, BIT) if value.type != BIT else value
    if isinstance(numba_type, types.Float) and value.type != FLOAT:
        return builder.fptrunc(value, FLOAT)
    if isinstance(numba_type, types.Integer) and value.type != LONG:
        return builder.sext(value, LONG)
    return value
