"""Memory of kernels: loads and stores at an address and an offset in elements, buffers on the stack.

`of` tells the type in memory, see the package. Offsets may be negative; addresses need only the alignment of
one element.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.typing.templates import signature

from archdsl.kernels.simd.elements import Element, element_of
from archdsl.kernels.simd.vector import (
    FLOAT,
    INT,
    INTS,
    WIDTH,
    Builder,
    Operation,
    Value,
    constant,
    finished,
    float32x16,
    named,
    operation,
    parameters,
    spread,
    typed,
)

LONG = ir.IntType(64)
LANES = ir.Constant(INTS, list(range(WIDTH)))
CACHE_LINE = 64
FLOAT_SIZE = 4


def memory_operation(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """The same as `operation` for one that also gets an `Element`, told by one more argument, `of`."""

    def decorate(build: Callable[..., Any]) -> Any:
        def typing(typing_context: Any, *given: Any) -> Any:
            of = given[len(arguments)] if len(given) > len(arguments) else None
            element = element_of(of)

            def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
                return finished(context, builder, result, build(builder, *values[: len(arguments)], element))

            return signature(result, *arguments, types.none if of is None else of), generate

        names = [f"argument_{i}" for i in range(len(arguments))]
        shape = parameters(["typing_context", *names])
        of = Parameter("of", Parameter.POSITIONAL_OR_KEYWORD, default=None)
        typing.__signature__ = shape.replace(parameters=[*shape.parameters.values(), of])  # type: ignore[attr-defined]
        function = typed(named(typing, build))
        function.operation = Operation(build, arguments, in_memory=True)
        return function

    return decorate


def place(builder: Builder, address: Value, offset: Value, kind: ir.Type) -> Value:
    """A pointer to the element at an offset."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [offset])


def first(builder: Builder, vector: Value) -> Value:
    """Its first lane."""
    return builder.extract_element(vector, ir.Constant(INT, 0))


def _vector_place(builder: Builder, address: Value, offset: Value, element: Element) -> Value:
    pointer = place(builder, address, offset, element.type)
    return builder.bitcast(pointer, ir.VectorType(element.type, WIDTH).as_pointer())


def _mask(builder: Builder, count: Value) -> Value:
    """Lanes below `count`."""
    return builder.icmp_signed("<", LANES, spread(builder, builder.trunc(count, INT)))


def _unknown(builder: Builder, count: Value) -> Value:
    """The same number, which the compiler can't know any more.

    With AVX-512, LLVM 22 makes one masked store of numbers cut to 16 bits, and of that, where a single lane
    is known to be stored, a plain store of all 32 bits (llvm-project#179489).
    """
    return builder.asm(ir.FunctionType(LONG, [LONG]), "", "=r,0", [count], False)


def _masked(builder: Builder, what: str, pointer: Value, kind: Any, result: Any, arguments: Any) -> Value:
    """A call of LLVM's masked load or store."""
    letter = "f32" if kind.element == FLOAT else "i16"
    name = f"llvm.masked.{what}.v{WIDTH}{letter}.p0"
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(result, [a.type for a in arguments]), name)
    return builder.call(function, arguments)


def build_load(builder: Builder, address: Value, offset: Value, element: Element) -> Value:
    """Sixteen elements as float32."""
    pointer = _vector_place(builder, address, offset, element)
    return element.widen(builder, builder.load(pointer, align=element.size))


def build_store(builder: Builder, address: Value, offset: Value, value: Value, element: Element) -> None:
    """Sixteen elements from float32."""
    pointer = _vector_place(builder, address, offset, element)
    builder.store(element.narrow(builder, value), pointer, align=element.size)


def build_load_some(builder: Builder, address: Value, offset: Value, count: Value, element: Element) -> Value:
    """The first `count` of sixteen elements, the other lanes 0."""
    kind = ir.VectorType(element.type, WIDTH)
    pointer = _vector_place(builder, address, offset, element)
    arguments = [pointer, ir.Constant(INT, element.size), _mask(builder, count), constant(0, kind)]
    return element.widen(builder, _masked(builder, "load", pointer, kind, kind, arguments))


def build_store_some(
    builder: Builder, address: Value, offset: Value, value: Value, count: Value, element: Element
) -> None:
    """The first `count` lanes."""
    kind = ir.VectorType(element.type, WIDTH)
    pointer = _vector_place(builder, address, offset, element)
    size = ir.Constant(INT, element.size)
    if element.size < FLOAT_SIZE:
        count = _unknown(builder, count)
    arguments = [element.narrow(builder, value), pointer, size, _mask(builder, count)]
    _masked(builder, "store", pointer, kind, ir.VoidType(), arguments)


def build_buffer(builder: Builder, size: int) -> Value:
    """Room for float32 in the frame of the function."""
    room = cgutils.alloca_once(builder, ir.ArrayType(FLOAT, size))
    room.align = CACHE_LINE
    return builder.ptrtoint(room, LONG)


@memory_operation(float32x16, types.int64, types.int64)
def load(builder: Builder, address: Value, offset: Value, element: Element) -> Value:
    """load(address, offset, of): sixteen elements."""
    return build_load(builder, address, offset, element)


@memory_operation(float32x16, types.int64, types.int64, types.int64)
def load_some(builder: Builder, address: Value, offset: Value, count: Value, element: Element) -> Value:
    """load_some(address, offset, count, of): the first `count` elements, 0 behind them, which is not read."""
    return build_load_some(builder, address, offset, count, element)


@memory_operation(types.none, types.int64, types.int64, float32x16)
def store(builder: Builder, address: Value, offset: Value, value: Value, element: Element) -> None:
    """store(address, offset, value, of): sixteen elements, rounded to nearest."""
    build_store(builder, address, offset, value, element)


@memory_operation(types.none, types.int64, types.int64, float32x16, types.int64)
def store_some(
    builder: Builder, address: Value, offset: Value, value: Value, count: Value, element: Element
) -> None:
    """store_some(address, offset, value, count, of): the first `count` lanes; what is behind stays."""
    build_store_some(builder, address, offset, value, count, element)


@typed
def buffer(typing_context: Any, size: Any) -> Any:
    """buffer(size): the address of `size` (a literal) float32 on the stack, while the kernel runs."""
    if not isinstance(size, types.IntegerLiteral):
        raise TypingError("the size of a buffer is a literal")
    count = size.literal_value

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        return build_buffer(builder, count)

    return signature(types.int64, size), generate


buffer.operation = Operation(build_buffer, (int,))


@typed
def allocate(typing_context: Any, size: Any) -> Any:
    """allocate(size): the address of `size` bytes, a multiple of 16, until `release`.

    Raises:
        MemoryError: where there is no memory.
    """

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        room = context.nrt.allocate(builder, values[0])
        with builder.if_then(cgutils.is_null(builder, room), likely=False):
            context.call_conv.return_user_exc(builder, MemoryError, ("no memory for a kernel",))
        return builder.ptrtoint(room, LONG)

    return signature(types.int64, types.int64), generate


@typed
def release(typing_context: Any, address: Any) -> Any:
    """release(address): gives back what `allocate` gave."""

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        context.nrt.free(builder, builder.inttoptr(values[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return signature(types.none, types.int64), generate


@memory_operation(types.float32, types.int64, types.int64)
def get(builder: Builder, address: Value, offset: Value, element: Element) -> Value:
    """get(address, offset, of): one number."""
    number = builder.load(place(builder, address, offset, element.type), align=element.size)
    return first(builder, element.widen(builder, spread(builder, number)))


@memory_operation(types.none, types.int64, types.int64, types.float32)
def put(builder: Builder, address: Value, offset: Value, value: Value, element: Element) -> None:
    """put(address, offset, value, of): stores one number."""
    number = first(builder, element.narrow(builder, spread(builder, value)))
    builder.store(number, place(builder, address, offset, element.type), align=element.size)


@operation(types.int64, types.int64, types.int64)
def get_int(builder: Builder, address: Value, offset: Value) -> Value:
    """One int64."""
    return builder.load(place(builder, address, offset, LONG), align=8)


@operation(types.none, types.int64, types.int64, types.int64)
def put_int(builder: Builder, address: Value, offset: Value, value: Value) -> None:
    """Stores one int64."""
    builder.store(value, place(builder, address, offset, LONG), align=8)


@operation(float32x16, types.int64, types.int64)
def broadcast(builder: Builder, address: Value, offset: Value) -> Value:
    """One float32 from memory in every lane."""
    return spread(builder, builder.load(place(builder, address, offset, FLOAT), align=4))


@memory_operation(types.none, types.int64, types.int64)
def prefetch(builder: Builder, address: Value, offset: Value, element: Element) -> None:
    """prefetch(address, offset, of): asks for the cache line of the element; the place may be anywhere."""
    pointer = place(builder, address, offset, element.type)
    pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    function = builder.module.globals.get("llvm.prefetch.p0")
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, INT, INT, INT])
        function = ir.Function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [pointer, *(ir.Constant(INT, i) for i in (0, 3, 1))])
