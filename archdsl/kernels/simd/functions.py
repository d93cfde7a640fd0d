"""Functions of sixteen float32 numbers, right to a few units in the last place over the whole range.

NaN gives NaN. A result below 2**-126.5, the edge of the normal numbers, is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from numba.core import types

from archdsl.kernels.simd.vector import (
    FLOATS,
    INTS,
    Builder,
    Value,
    choose_less,
    constant,
    float32x16,
    multiply_add,
    operation,
)

# 1.5 * 2**23: added to a small number it leaves the nearest integer in the low bits of the sum.
ROUND = 12582912.0
EXPONENT_BIAS = 127
LOG2_E = 1.4426950408889634
# ln 2 in two parts; n times the first is exact for |n| <= 2**8.
LN2_HIGH = 0.693359375
LN2_LOW = -2.1219444005469057e-4
# Fitted for the smallest relative error: 9e-8, 3e-9, 4e-9. The first terms are held, exp2(0) is 1.
EXP2_TERMS = (1.0, 0.69314700, 0.24022242, 0.05550734, 0.0096715130, 0.0013264666)
EXP_TERMS = (1.0, 1.0, 0.49999994, 0.16666521, 0.041668389, 0.0083687324, 0.0013814578)
ATANH_TERMS = (2.0, 0.66666418, 0.40021533, 0.28001691, 0.28012598)


def _polynomial(builder: Builder, x: Value, terms: tuple[float, ...]) -> Value:
    """The sum of terms[i] x**i."""
    result = constant(terms[-1])
    for term in reversed(terms[:-1]):
        result = multiply_add(builder, result, x, constant(term))
    return result


def _clamp(builder: Builder, x: Value, low: float, high: float) -> Value:
    x = choose_less(builder, x, constant(low), constant(low), x)
    return choose_less(builder, constant(high), x, constant(high), x)


def _power_of_two(builder: Builder, rounded: Value) -> Value:
    """2**n for n = rounded - ROUND - EXPONENT_BIAS in -127 (gives 0) .. 128 (gives infinity)."""
    bits = builder.shl(builder.bitcast(rounded, INTS), constant(23, INTS))
    return builder.bitcast(bits, FLOATS)


def build_exp2(builder: Builder, x: Value) -> Value:
    """2**x: 2**n times a polynomial of what is left, which lies in -1/2 .. 1/2."""
    x = _clamp(builder, x, -127.0, 128.0)
    rounded = builder.fadd(x, constant(ROUND + EXPONENT_BIAS))
    rest = builder.fsub(x, builder.fsub(rounded, constant(ROUND + EXPONENT_BIAS)))
    return builder.fmul(_polynomial(builder, rest, EXP2_TERMS), _power_of_two(builder, rounded))


def build_exp2_products(builder: Builder, x: Value, factors: Sequence[Value]) -> list[Value]:
    """2**(x a) for each factor, |x a| < 125: nothing is clamped and n is added to the exponent as it is.

    The factors take turns, instruction by instruction, so that one fills the time another waits.
    """
    products = [builder.fmul(x, a) for a in factors]
    rounded = [builder.fadd(p, constant(ROUND)) for p in products]
    whole = [builder.fsub(r, constant(ROUND)) for r in rounded]
    rest = [builder.fsub(p, n) for p, n in zip(products, whole, strict=True)]
    powers = [constant(EXP2_TERMS[-1])] * len(rest)
    for term in reversed(EXP2_TERMS[:-1]):
        powers = [multiply_add(builder, p, r, constant(term)) for p, r in zip(powers, rest, strict=True)]
    bits = [builder.shl(builder.bitcast(r, INTS), constant(23, INTS)) for r in rounded]
    sums = [builder.add(builder.bitcast(p, INTS), b) for p, b in zip(powers, bits, strict=True)]
    return [builder.bitcast(b, FLOATS) for b in sums]


def build_exp(builder: Builder, x: Value) -> Value:
    """e**x; x less n ln 2 is formed in two steps, so that the error does not grow with x."""
    x = _clamp(builder, x, -88.1, 88.8)
    rounded = multiply_add(builder, x, constant(LOG2_E), constant(ROUND + EXPONENT_BIAS))
    n = builder.fsub(rounded, constant(ROUND + EXPONENT_BIAS))
    rest = multiply_add(builder, n, constant(-LN2_HIGH), x)
    rest = multiply_add(builder, n, constant(-LN2_LOW), rest)
    return builder.fmul(_polynomial(builder, rest, EXP_TERMS), _power_of_two(builder, rounded))


def build_sigmoid(builder: Builder, x: Value) -> Value:
    """1 / (1 + e**-x)."""
    one = constant(1.0)
    return builder.fdiv(one, builder.fadd(one, build_exp(builder, builder.fneg(x))))


def build_softplus(builder: Builder, x: Value) -> Value:
    """log(1 + e**x) = max(x, 0) + log(1 + e), e = e**-|x| <= 1; log(1 + e) = 2 atanh(s), s = e / (2 + e)."""
    zero = constant(0.0)
    positive = choose_less(builder, x, zero, zero, x)
    e = build_exp(builder, choose_less(builder, x, zero, x, builder.fneg(x)))
    s = builder.fdiv(e, builder.fadd(constant(2.0), e))
    return multiply_add(builder, s, _polynomial(builder, builder.fmul(s, s), ATANH_TERMS), positive)


@operation(float32x16, float32x16)
def exp2(builder: Builder, x: Value) -> Value:
    """2**x; infinity from 127.5 on, 0 below -126.5."""
    return build_exp2(builder, x)


@operation(types.UniTuple(float32x16, 4), *[float32x16] * 5)
def exp2_products(builder: Builder, x: Value, a0: Value, a1: Value, a2: Value, a3: Value) -> list[Value]:
    """2**(x a) for each of four a where |x a| < 125, nothing of use elsewhere."""
    return build_exp2_products(builder, x, [a0, a1, a2, a3])


@operation(float32x16, float32x16)
def exp(builder: Builder, x: Value) -> Value:
    """e**x; infinity from 88.4 on, 0 below -87.7."""
    return build_exp(builder, x)


@operation(float32x16, float32x16)
def sigmoid(builder: Builder, x: Value) -> Value:
    """1 / (1 + e**-x)."""
    return build_sigmoid(builder, x)


@operation(float32x16, float32x16)
def silu(builder: Builder, x: Value) -> Value:
    """x / (1 + e**-x); 0 below -88.4."""
    return builder.fdiv(x, builder.fadd(constant(1.0), build_exp(builder, builder.fneg(x))))


@operation(float32x16, float32x16)
def softplus(builder: Builder, x: Value) -> Value:
    """log(1 + e**x); x itself above 20, and close to e**x for very negative x."""
    return build_softplus(builder, x)


@operation(float32x16, float32x16)
def reciprocal(builder: Builder, x: Value) -> Value:
    """1 / x."""
    return builder.fdiv(constant(1.0), x)
