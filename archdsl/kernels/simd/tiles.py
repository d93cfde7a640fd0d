"""Tiles of 16 x 16 numbers, turned on their way between memory and a buffer of float32 vectors."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types

from archdsl.kernels.simd.elements import Element, element_of
from archdsl.kernels.simd.memory import (
    LONG,
    build_load,
    build_load_some,
    build_store,
    build_store_some,
    memory_operation,
)
from archdsl.kernels.simd.vector import (
    INTS,
    WIDTH,
    Builder,
    Value,
    float32x16,
    operation,
)

_FOUR = [4 * lane for lane in range(4)]
_PAIR_LOW = [i for lane in _FOUR for i in (lane, lane + 16, lane + 1, lane + 17)]
_PAIR_HIGH = [i for lane in _FOUR for i in (lane + 2, lane + 18, lane + 3, lane + 19)]
_QUAD_LOW = [i for lane in _FOUR for i in (lane, lane + 1, lane + 16, lane + 17)]
_QUAD_HIGH = [i for lane in _FOUR for i in (lane + 2, lane + 3, lane + 18, lane + 19)]
_EVEN = [i for lane in (0, 8, 16, 24) for i in range(lane, lane + 4)]
_ODD = [i for lane in (4, 12, 20, 28) for i in range(lane, lane + 4)]


def _turn(builder: Builder, rows: list[Value]) -> list[Value]:
    """Sixteen vectors to those of the transposed tile: pairs, fours, then whole quarters of registers."""

    def mix(a: Value, b: Value, order: list[int]) -> Value:
        return builder.shuffle_vector(a, b, ir.Constant(INTS, order))

    pairs = [mix(rows[i], rows[i + 1], order) for i in range(0, 16, 2) for order in (_PAIR_LOW, _PAIR_HIGH)]
    # fours[4 q + c]: rows 4 q .. 4 q + 3, columns c, c + 4, c + 8 and c + 12, one in each quarter.
    fours = [
        mix(pairs[4 * q + high], pairs[4 * q + 2 + high], order)
        for q in range(4)
        for high in (0, 1)
        for order in (_QUAD_LOW, _QUAD_HIGH)
    ]
    columns: list[Value] = [None] * WIDTH
    for c in range(4):
        upper = [mix(fours[c], fours[4 + c], order) for order in (_EVEN, _ODD)]
        lower = [mix(fours[8 + c], fours[12 + c], order) for order in (_EVEN, _ODD)]
        for odd in (0, 1):
            columns[c + 4 * odd] = mix(upper[odd], lower[odd], _EVEN)
            columns[c + 4 * odd + 8] = mix(upper[odd], lower[odd], _ODD)
    return columns


def _at(builder: Builder, offset: Value, stride: Value, i: int | Value) -> Value:
    step = ir.Constant(LONG, i) if isinstance(i, int) else i
    return builder.add(offset, builder.mul(stride, step))


@memory_operation(types.none, *[types.int64] * 6)
def load_transposed(
    builder: Builder,
    address: Value,
    offset: Value,
    stride: Value,
    rows: Value,
    count: Value,
    to: Value,
    element: Element,
) -> None:
    """load_transposed(address, offset, stride, rows, count, to, of): 16 vectors of float32 at `to`.

    Vector j holds element j of every row; row i starts at offset + i * stride and has `count` elements,
    0 behind them. Behind `rows` (1 to 16) rows, the last one is repeated.
    """
    last = builder.sub(rows, ir.Constant(LONG, 1))
    vectors = []
    for i in range(WIDTH):
        number = ir.Constant(LONG, i)
        row = builder.select(builder.icmp_signed("<", number, last), number, last)
        start = _at(builder, offset, stride, row)
        vectors.append(build_load_some(builder, address, start, count, element))
    for j, vector in enumerate(_turn(builder, vectors)):
        build_store(builder, to, ir.Constant(LONG, j * WIDTH), vector, element_of(None))


@memory_operation(types.none, *[types.int64] * 6)
def store_transposed(
    builder: Builder,
    at: Value,
    address: Value,
    offset: Value,
    stride: Value,
    rows: Value,
    count: Value,
    element: Element,
) -> None:
    """store_transposed(at, address, offset, stride, rows, count, of): the way back of `load_transposed`.

    Only `count` elements of `rows` rows are written.
    """
    places = [ir.Constant(LONG, j * WIDTH) for j in range(WIDTH)]
    vectors = [build_load(builder, at, place, element_of(None)) for place in places]
    for i, vector in enumerate(_turn(builder, vectors)):
        with builder.if_then(builder.icmp_signed("<", ir.Constant(LONG, i), rows), likely=True):
            start = _at(builder, offset, stride, i)
            build_store_some(builder, address, start, vector, count, element)


@operation(float32x16, types.int64, types.int64)
def totals(builder: Builder, address: Value, offset: Value) -> Value:
    """The sum of the lanes of each of sixteen vectors in a row, halves first."""
    element = element_of(None)
    place = [builder.add(offset, ir.Constant(LONG, i * WIDTH)) for i in range(WIDTH)]
    vectors = [build_load(builder, address, at, element) for at in place]
    lanes = range(WIDTH)
    half = WIDTH // 2
    while half:
        near = ir.Constant(INTS, [WIDTH + i - half if i & half else i for i in lanes])
        far = ir.Constant(INTS, [WIDTH + i if i & half else i + half for i in lanes])
        vectors = [
            builder.fadd(builder.shuffle_vector(a, b, near), builder.shuffle_vector(a, b, far))
            for a, b in zip(vectors[:half], vectors[half:], strict=True)
        ]
        half //= 2
    return vectors[0]


@operation(types.none, types.int64, types.int64, types.int64)
def turn(builder: Builder, address: Value, offset: Value, to: Value) -> None:
    """Sixteen vectors in a row to those of the transposed tile, at the offset `to`; the two may overlap."""
    element = element_of(None)
    steps = [ir.Constant(LONG, i * WIDTH) for i in range(WIDTH)]
    rows = [build_load(builder, address, builder.add(offset, step), element) for step in steps]
    for step, column in zip(steps, _turn(builder, rows), strict=True):
        build_store(builder, address, builder.add(to, step), column, element)
