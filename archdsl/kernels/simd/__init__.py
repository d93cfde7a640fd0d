"""Sixteen float32 numbers as one value in Numba kernels: arithmetic, memory and a few functions.

LLVM lowers them to what the machine has (AVX-512, AVX2, SSE2, NEON); none of it is named here.
Addresses and offsets are 64-bit integers (`tensor.data_ptr()`); nothing is checked. Use only inside `njit`.

The type in memory (`of`) is told by an array of which only the dtype counts: FLOAT32, BFLOAT16 or FLOAT16 of
this package (dtypes float32, uint16 and int16: the bits), or any array like it. Without `of` memory holds
float32. A value in a register is always float32.
"""

from archdsl.kernels.simd.elements import BFLOAT16, FLOAT16, FLOAT32
from archdsl.kernels.simd.functions import exp, exp2, exp2_products, reciprocal, sigmoid, silu, softplus
from archdsl.kernels.simd.memory import (
    allocate,
    broadcast,
    buffer,
    get,
    get_int,
    load,
    load_some,
    prefetch,
    put,
    put_int,
    release,
    store,
    store_some,
)
from archdsl.kernels.simd.routines import routine
from archdsl.kernels.simd.tiles import load_transposed, store_transposed, totals, turn
from archdsl.kernels.simd.vector import (
    WIDTH,
    all_less,
    float32x16,
    fma,
    larger_size,
    maximum,
    minimum,
    splat,
    total,
    where_less,
)

__all__ = [
    "BFLOAT16",
    "FLOAT16",
    "FLOAT32",
    "WIDTH",
    "all_less",
    "allocate",
    "broadcast",
    "buffer",
    "exp",
    "exp2",
    "exp2_products",
    "float32x16",
    "fma",
    "get",
    "get_int",
    "larger_size",
    "load",
    "load_some",
    "load_transposed",
    "maximum",
    "minimum",
    "prefetch",
    "put",
    "put_int",
    "reciprocal",
    "release",
    "routine",
    "sigmoid",
    "silu",
    "softplus",
    "splat",
    "store",
    "store_some",
    "store_transposed",
    "total",
    "totals",
    "turn",
    "where_less",
]
