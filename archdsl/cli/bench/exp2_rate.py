"""How many 2**x a core computes in a second, as a kernel of our own vectors."""

from __future__ import annotations

from archdsl.kernels.jit import kernel
from archdsl.kernels.simd import WIDTH, exp2, load, store

AT_ONCE = 4 * WIDTH


@kernel
def exp2_rate(address: int, count: int, passes: int) -> None:
    """2**x of `count` float32 numbers at the address, a multiple of 64, into the places behind them."""
    for _ in range(passes):
        for i in range(0, count, AT_ONCE):
            a, b = load(address, i), load(address, i + WIDTH)
            c, d = load(address, i + 2 * WIDTH), load(address, i + 3 * WIDTH)
            store(address, count + i, exp2(a))
            store(address, count + i + WIDTH, exp2(b))
            store(address, count + i + 2 * WIDTH, exp2(c))
            store(address, count + i + 3 * WIDTH, exp2(d))
