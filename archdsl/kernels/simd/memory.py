"""Memory of kernels: loads and stores at an address and an offset in elements, buffers on the stack.

`of` tells the type in memory, see the package. Offsets may be negative; addresses need only the alignment of
one element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.typing.templates import signature

from archdsl.kernels.simd.vector import (
    FLOAT,
    FLOATS,
    INT,
    INTS,
    WIDTH,
    Builder,
    Value,
    constant,
    float32x16,
    operation,
    spread,
    typed,
)

SHORT = ir.IntType(16)
LONG = ir.IntType(64)
SHORTS = ir.VectorType(SHORT, WIDTH)
LANES = ir.Constant(INTS, list(range(WIDTH)))
CACHE_LINE = 64
FLOAT_SIZE = 4


class Element(NamedTuple):
    """A type in memory, and its way to float32 and back."""

    type: ir.Type
    widen: Callable[[Builder, Value], Value]
    narrow: Callable[[Builder, Value], Value]

    @property
    def size(self) -> int:
        return 4 if self.type == FLOAT else 2


def _same(builder: Builder, value: Value) -> Value:
    return value


def _from_bfloat16(builder: Builder, shorts: Value) -> Value:
    return builder.bitcast(builder.shl(builder.zext(shorts, INTS), constant(16, INTS)), FLOATS)


def _to_bfloat16(builder: Builder, floats: Value) -> Value:
    """Rounded to nearest, ties to even; a NaN loses its payload, which rounding could turn into infinity."""
    bits = builder.bitcast(floats, INTS)
    odd = builder.and_(builder.lshr(bits, constant(16, INTS)), constant(1, INTS))
    rounded = builder.lshr(builder.add(bits, builder.add(odd, constant(0x7FFF, INTS))), constant(16, INTS))
    is_nan = builder.fcmp_unordered("uno", floats, floats)
    return builder.trunc(builder.select(is_nan, constant(0x7FC0, INTS), rounded), SHORTS)


def _from_float16(builder: Builder, shorts: Value) -> Value:
    """The exponent is moved by a product, which is right for subnormal numbers too."""
    wide = builder.zext(shorts, INTS)
    sign = builder.shl(builder.and_(wide, constant(0x8000, INTS)), constant(16, INTS))
    size = builder.shl(builder.and_(wide, constant(0x7FFF, INTS)), constant(13, INTS))
    moved = builder.fmul(builder.bitcast(size, FLOATS), constant(2.0**112))
    is_special = builder.icmp_signed(">=", size, constant(0x7C00 << 13, INTS))
    special = builder.or_(size, constant(0x7F800000, INTS))
    bits = builder.select(is_special, special, builder.bitcast(moved, INTS))
    return builder.bitcast(builder.or_(bits, sign), FLOATS)


def _to_float16(builder: Builder, floats: Value) -> Value:
    """Rounded to nearest, ties to even: normal numbers in integers, subnormal ones by a sum with 1/2."""
    bits = builder.bitcast(floats, INTS)
    size = builder.and_(bits, constant(0x7FFFFFFF, INTS))
    sign = builder.and_(builder.lshr(bits, constant(16, INTS)), constant(0x8000, INTS))
    odd = builder.and_(builder.lshr(size, constant(13, INTS)), constant(1, INTS))
    moved = builder.add(builder.add(size, constant(0xFFF - (112 << 23), INTS)), odd)
    normal = builder.lshr(moved, constant(13, INTS))
    raised = builder.bitcast(builder.fadd(builder.bitcast(size, FLOATS), constant(0.5)), INTS)
    subnormal = builder.sub(raised, constant(0x3F000000, INTS))
    is_small = builder.icmp_signed("<", size, constant(0x38800000, INTS))
    half = builder.select(is_small, subnormal, normal)
    is_nan = builder.icmp_signed(">", size, constant(0x7F800000, INTS))
    special = builder.select(is_nan, constant(0x7E00, INTS), constant(0x7C00, INTS))
    is_special = builder.icmp_signed(">=", size, constant(0x47800000, INTS))
    return builder.trunc(builder.or_(builder.select(is_special, special, half), sign), SHORTS)


_FLOAT32 = Element(FLOAT, _same, _same)
ELEMENTS: dict[Any, Element] = {
    types.float32: _FLOAT32,
    types.uint16: Element(SHORT, _from_bfloat16, _to_bfloat16),
    types.int16: Element(SHORT, _from_float16, _to_float16),
}


FLOAT32 = np.empty(0, np.float32)
BFLOAT16 = np.empty(0, np.uint16)
FLOAT16 = np.empty(0, np.int16)


def element_of(of: Any) -> Element:
    """What the type of the argument `of` stands for.

    Raises:
        TypingError: where no element type is told by it.
    """
    if of is None:
        return _FLOAT32
    element = ELEMENTS.get(getattr(of, "dtype", None))
    if element is None:
        raise TypingError(f"no element type for vectors is told by {of}")
    return element


def given(of: Any) -> Any:
    """Its type in a signature."""
    return types.none if of is None else of


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

    For x86, LLVM 22 writes four bytes for a masked store of one known lane of two bytes.
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
    """The first `count` of sixteen elements, the other lanes 0; nothing behind them is read."""
    kind = ir.VectorType(element.type, WIDTH)
    pointer = _vector_place(builder, address, offset, element)
    arguments = [pointer, ir.Constant(INT, element.size), _mask(builder, count), constant(0, kind)]
    return element.widen(builder, _masked(builder, "load", pointer, kind, kind, arguments))


def build_store_some(
    builder: Builder, address: Value, offset: Value, value: Value, count: Value, element: Element
) -> None:
    """The first `count` lanes; nothing behind them is written."""
    kind = ir.VectorType(element.type, WIDTH)
    pointer = _vector_place(builder, address, offset, element)
    size = ir.Constant(INT, element.size)
    if element.size < FLOAT_SIZE:
        count = _unknown(builder, count)
    arguments = [element.narrow(builder, value), pointer, size, _mask(builder, count)]
    _masked(builder, "store", pointer, kind, ir.VoidType(), arguments)


@typed
def load(typing_context: Any, address: Any, offset: Any, of: Any = None) -> Any:
    """load(address, offset, of): sixteen elements."""
    element = element_of(of)

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        return build_load(builder, values[0], values[1], element)

    return signature(float32x16, types.int64, types.int64, given(of)), generate


@typed
def load_some(typing_context: Any, address: Any, offset: Any, count: Any, of: Any = None) -> Any:
    """load_some(address, offset, count, of): the first `count` elements, 0 behind them, which is not read."""
    element = element_of(of)

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        address, offset, count = values[:3]
        return build_load_some(builder, address, offset, count, element)

    return signature(float32x16, types.int64, types.int64, types.int64, given(of)), generate


@typed
def store(typing_context: Any, address: Any, offset: Any, value: Any, of: Any = None) -> Any:
    """store(address, offset, value, of): sixteen elements, rounded to nearest."""
    element = element_of(of)

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        address, offset, value = values[:3]
        build_store(builder, address, offset, value, element)
        return context.get_dummy_value()

    return signature(types.none, types.int64, types.int64, float32x16, given(of)), generate


@typed
def store_some(typing_context: Any, address: Any, offset: Any, value: Any, count: Any, of: Any = None) -> Any:
    """store_some(address, offset, value, count, of): the first `count` lanes; what is behind stays."""
    element = element_of(of)

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        address, offset, value, count = values[:4]
        build_store_some(builder, address, offset, value, count, element)
        return context.get_dummy_value()

    return signature(types.none, types.int64, types.int64, float32x16, types.int64, given(of)), generate


@typed
def buffer(typing_context: Any, size: Any) -> Any:
    """buffer(size): the address of `size` (a literal) float32 on the stack, while the kernel runs."""
    if not isinstance(size, types.IntegerLiteral):
        raise TypingError("the size of a buffer is a literal")
    count = size.literal_value

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        room = cgutils.alloca_once(builder, ir.ArrayType(FLOAT, count))
        room.align = CACHE_LINE
        return builder.ptrtoint(room, LONG)

    return signature(types.int64, size), generate


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


@typed
def get(typing_context: Any, address: Any, offset: Any, of: Any = None) -> Any:
    """get(address, offset, of): one number."""
    element = element_of(of)

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        number = builder.load(place(builder, values[0], values[1], element.type), align=element.size)
        return first(builder, element.widen(builder, spread(builder, number)))

    return signature(types.float32, types.int64, types.int64, given(of)), generate


@typed
def put(typing_context: Any, address: Any, offset: Any, value: Any, of: Any = None) -> Any:
    """put(address, offset, value, of): stores one number."""
    element = element_of(of)

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        number = first(builder, element.narrow(builder, spread(builder, values[2])))
        builder.store(number, place(builder, values[0], values[1], element.type), align=element.size)
        return context.get_dummy_value()

    return signature(types.none, types.int64, types.int64, types.float32, given(of)), generate


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


@typed
def prefetch(typing_context: Any, address: Any, offset: Any, of: Any = None) -> Any:
    """prefetch(address, offset, of): asks for the cache line of the element; the place may be anywhere."""
    element = element_of(of)

    def generate(context: Any, builder: Builder, _: Any, values: Any) -> Value:
        pointer = place(builder, values[0], values[1], element.type)
        pointer = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        function = builder.module.globals.get("llvm.prefetch.p0")
        if function is None:
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, INT, INT, INT])
            function = ir.Function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, *(ir.Constant(INT, i) for i in (0, 3, 1))])
        return context.get_dummy_value()

    return signature(types.none, types.int64, types.int64, given(of)), generate
