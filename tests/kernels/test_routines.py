"""Routines: what they compute in a kernel is what Python computes; other statements are refused."""

from __future__ import annotations

from types import FunctionType, SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numba import njit

from archdsl.kernels import simd
from archdsl.kernels.simd import routine

FACTOR = 3


class Pair(NamedTuple):
    """Two numbers."""

    first: int
    second: int


@routine
def total_of(pair):
    total = pair.first
    for _ in range(2):
        total += pair.second
    return total, pair.first


@routine
def program(out, p, n, flag, pair):
    """Every statement and sign of routines, on integers."""
    place = 0
    for a in range(-7, 8, 3):
        simd.put_int(out, place, a // 4)
        simd.put_int(out, place + 1, a % 4)
        place += 2
    total, same = total_of(Pair(pair.first * FACTOR, -pair.second))
    simd.put_int(out, place, total)
    simd.put_int(out, place + 1, same)
    simd.put_int(out, place + 2, min(n, 4) + max(2, n) * (1 if flag else -1))
    if n > 3 and p[n - 4] == 11:
        simd.put_int(out, place + 3, 100)
    elif not flag or n in (0, 2):
        simd.put_int(out, place + 3, 200)
    else:
        simd.put_int(out, place + 3, 300)
    i, found = 0, -1
    while i < n and found < 0:
        if p[i] > 11:
            found = i
        i += 1
    simd.put_int(out, place + 4, found)
    simd.put_int(out, place + 5, i)
    for j in range(n, 0, -2):
        simd.put_int(out, place + 5 + j, (j << 2) - (p[0] >> 1) | FACTOR & 1)
    simd.put_int(out, place + 20, p[n] if n < 5 else -1)


@njit
def in_kernel(out, p, n, flag, pair):
    program(out, p, n, flag, pair)


def in_python(function: object, **names: object) -> FunctionType:
    """What a routine was made of, with other globals."""
    made = function.routine.function  # type: ignore[attr-defined]
    return FunctionType(made.__code__, {**made.__globals__, **names})


@pytest.mark.parametrize("n", [0, 1, 4, 5])
@pytest.mark.parametrize("flag", [False, True])
def test_integers_are_those_of_python(n: int, flag: bool) -> None:
    p = np.array([11, 7, 12, 13, 5])
    found, expected = np.zeros(40, np.int64), np.zeros(40, np.int64)
    operations = SimpleNamespace(put_int=lambda out, place, number: out.__setitem__(place, number))
    in_python(program, simd=operations, total_of=in_python(total_of))(expected, p, n, flag, Pair(5, 2))
    in_kernel(found.ctypes.data, p, n, flag, Pair(5, 2))
    assert found.tolist() == expected.tolist()
    assert len(set(found.tolist())) > 6


@routine
def average(x, y, count, scale, of):
    total = simd.splat(0.0)
    for i in range(count):
        total = total + simd.load(x, 16 * i, of) * simd.splat(scale)
    if count > 0:
        total = total * 2.0 - 1
    held = simd.buffer(16)
    simd.store(held, 0, total)
    simd.store(y, 0, simd.load(held, 0), of)


@njit
def averaged(x, y, count, scale, of):
    average(x, y, count, scale, of)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_vectors_of_any_type_in_memory(dtype: torch.dtype) -> None:
    of = {torch.float32: simd.FLOAT32, torch.bfloat16: simd.BFLOAT16}[dtype]
    x, y = torch.arange(48.0).to(dtype), torch.zeros(16, dtype=dtype)
    averaged(x.data_ptr(), y.data_ptr(), 3, 0.5, of)
    assert torch.equal(y, (x.float().reshape(3, 16).sum(0) - 1).to(dtype))


@routine
def adds_kinds(out):
    simd.put_int(out, 0, simd.splat(1.0))


@routine
def deletes(out):
    del out


@routine
def returns_early(out):
    if out > 0:
        return
    simd.put_int(out, 0, 1)


@routine
def unknown_name(out):
    simd.put_int(out, 0, nowhere)  # noqa: F821


@routine
def any_call(out):
    print(out)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (adds_kinds, "where one of i64 is wanted"),
        (deletes, "no Delete in a routine"),
        (returns_early, "no Return in a routine"),
        (unknown_name, "no value for `nowhere`"),
        (any_call, "no value for `print`"),
    ],
)
def test_anything_else_is_refused(function: object, message: str) -> None:
    @njit
    def run(out):
        function(out)  # type: ignore[operator]

    with pytest.raises(Exception, match=message):
        run(1)
