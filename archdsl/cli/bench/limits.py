"""What the machine can do at most: exponentials and copies, measured as the scans are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from archdsl.cli.bench.timing import Plan, in_turns

NUMBERS = 2048
"""They and their results stay in the cache nearest to a core."""
PASSES = 5000
COPIES = {"4 MB": 4 * 10**6, "64 MB": 64 * 10**6}


def exponentials(now: Callable[[], float], plan: Plan) -> dict[str, float]:
    """2**x of numbers that stay in the first cache, on one thread, in numbers a second, by who computes."""
    room = torch.cat([torch.linspace(-8, 0, NUMBERS), torch.zeros(NUMBERS)])
    kernels = {"numba": _numba(), "C++": _cpp()}
    ways: dict[str, Callable[[], object]] = {
        name: partial(kernel, room.data_ptr(), NUMBERS, PASSES)
        for name, kernel in kernels.items()
        if kernel is not None
    }
    return {name: NUMBERS * PASSES / t.low for name, t in in_turns(ways, plan, now).items()}


def copies(now: Callable[[], float], plan: Plan) -> dict[str, float]:
    """Bytes read and written a second by a copy, by size."""
    rates = {}
    for name, size in COPIES.items():
        source, target = torch.ones(size // 4), torch.empty(size // 4)
        time = in_turns({name: partial(target.copy_, source)}, plan, now)[name]
        rates[name] = 2 * size / time.median
    return rates


def _numba() -> Callable[[int, int, int], object] | None:
    """A kernel of our own vectors, None where Numba does not work here."""
    from archdsl.kernels.jit import missing

    if missing() is not None:
        return None
    from archdsl.cli.bench.exp2_rate import exp2_rate

    return exp2_rate


def _cpp() -> Callable[[int, int, int], object] | None:
    from archdsl.cli.bench.peers import cpp

    if cpp.missing():
        return None
    import ctypes

    function: Any = cpp.library().exp2_rate
    return lambda address, count, passes: function(
        ctypes.c_void_p(address), ctypes.c_long(count), ctypes.c_long(passes)
    )
