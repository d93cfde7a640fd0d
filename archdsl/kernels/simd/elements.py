"""Types in memory, and their way to float32 in registers and back, in integers: any machine does them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError

from archdsl.kernels.simd.vector import FLOAT, FLOATS, INTS, WIDTH, Builder, Value, constant

SHORT = ir.IntType(16)
SHORTS = ir.VectorType(SHORT, WIDTH)


class Element(NamedTuple):
    """A type in memory, and its way to float32 and back."""

    type: ir.Type
    widen: Callable[[Builder, Value], Value]
    narrow: Callable[[Builder, Value], Value]

    @property
    def size(self) -> int:
        """Bytes."""
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
