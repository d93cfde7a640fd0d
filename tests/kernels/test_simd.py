"""Vectors of 16 floats in Numba kernels: accuracy over the whole range, memory and its edges, tiles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numba import njit

from archdsl.kernels import simd

DTYPES = {torch.float32: simd.FLOAT32, torch.bfloat16: simd.BFLOAT16, torch.float16: simd.FLOAT16}
OPTIONS = {"nogil": True, "boundscheck": False, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}


@njit(**OPTIONS)
def _functions(x, y, count):
    for i in range(0, count, 16):
        v = simd.load(x, i)
        simd.store(y, i, simd.exp2(v))
        simd.store(y, count + i, simd.exp(v))
        simd.store(y, 2 * count + i, simd.sigmoid(v))
        simd.store(y, 3 * count + i, simd.silu(v))
        simd.store(y, 4 * count + i, simd.softplus(v))


FUNCTIONS: list[Callable[[torch.Tensor], torch.Tensor]] = [
    torch.exp2,
    torch.exp,
    torch.sigmoid,
    torch.nn.functional.silu,
    lambda x: torch.logaddexp(x, torch.zeros_like(x)),
]


@pytest.fixture(scope="module")
def computed() -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of every size, dense around 0, and the special ones; and the functions of them."""
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**31), 2**31, (40_000,), generator=generator).to(torch.int32)
    special = [0.0, -0.0, 1.0, -1.0, 20.0, 127.0, -126.0, 88.0, -87.0, 1e30, -1e30, 1e-30, -1e-45, np.nan]
    x = torch.cat(
        [
            torch.tensor([*special, np.inf, -np.inf]),
            bits.view(torch.float32),
            torch.linspace(-130, 130, 40_002),
            torch.linspace(-1, 1, 20_000),
        ]
    )
    x = x[: len(x) // 16 * 16].contiguous()
    y = torch.full((5, len(x)), 7.0)
    _functions(x.data_ptr(), y.data_ptr(), len(x))
    return x, y


@pytest.mark.parametrize(
    ("row", "ulps", "edge"),
    [(0, 2.5, -126), (1, 2, -126), (2, 3, -126), (3, 4, -119), (4, 4, -126)],
    ids=["exp2", "exp", "sigmoid", "silu", "softplus"],
)
def test_functions_are_right_over_the_whole_range(
    computed: tuple[torch.Tensor, torch.Tensor], row: int, ulps: float, edge: int
) -> None:
    """Below 2**edge the result may be 0. The errors allowed are those without a fused multiply-add."""
    x, y = computed[0], computed[1][row].double()
    true = FUNCTIONS[row](x.double())
    finite = x.isfinite() & (true.abs() < 2.0**127) & (true.abs() > 2.0**edge)
    unit = torch.exp2(torch.floor(torch.log2(true.abs())) - 23)
    error = ((y - true).abs() / unit)[finite]
    assert finite.sum() > 40_000
    assert float(error.max()) <= ulps
    tiny = true.abs() < 2.0**-127
    assert float(y[tiny].abs().max()) < 2.0**-126
    assert torch.equal(y.isnan(), FUNCTIONS[row](x).isnan())
    huge = true > 2.0**128
    assert bool((y[huge] == torch.where(true[huge].isinf() | (row < 2), torch.inf, true[huge].float())).all())


@njit(**OPTIONS)
def _copy(source, target, count, of):
    for i in range(0, count, 16):
        some = min(16, count - i)
        simd.store_some(target, i, simd.load_some(source, i, some, of), some, of)


@njit(**OPTIONS)
def _widen(source, target, count, of):
    for i in range(0, count, 16):
        simd.store(target, i, simd.load(source, i, of))


@njit(**OPTIONS)
def _narrow(source, target, count, of):
    for i in range(0, count, 16):
        simd.store(target, i, simd.load(source, i), of)


@pytest.mark.parametrize("dtype", list(DTYPES), ids=str)
def test_a_tail_is_copied_and_nothing_behind_it_is_touched(dtype: torch.dtype) -> None:
    source = torch.arange(1, 101).to(dtype)
    for count in (1, 15, 16, 17, 47):
        target = torch.full((100,), -1.0).to(dtype)
        _copy(source.data_ptr(), target.data_ptr(), count, DTYPES[dtype])
        assert torch.equal(target[:count], source[:count])
        assert bool((target[count:] == -1).all())


@njit(**OPTIONS)
def _first_lanes(source, target, count, of):
    for i in range(count):
        simd.store_some(target, 3 * i, simd.load_some(source, i, 1, of), 1, of)


@pytest.mark.parametrize("dtype", list(DTYPES), ids=str)
def test_one_number_that_the_compiler_knows_to_be_one(dtype: torch.dtype) -> None:
    source = torch.arange(1, 41).to(dtype)
    target = torch.full((120,), -1.0).to(dtype)
    _first_lanes(source.data_ptr(), target.data_ptr(), 40, DTYPES[dtype])
    assert torch.equal(target[::3], source)
    assert bool((target.reshape(40, 3)[:, 1:] == -1).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_every_short_float_is_read_and_written_as_torch_does(dtype: torch.dtype) -> None:
    short = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    wide = torch.empty(2**16)
    _widen(short.data_ptr(), wide.data_ptr(), 2**16, DTYPES[dtype])
    assert torch.equal(wide.nan_to_num(-1), short.float().nan_to_num(-1))
    assert torch.equal(wide.isnan(), short.isnan())

    bits = torch.randint(-(2**31), 2**31, (2**16,), generator=torch.Generator().manual_seed(1))
    between = wide + (wide.nextafter(torch.tensor(torch.inf)) - wide) * 0.5
    for floats in (bits.to(torch.int32).view(torch.float32), between, wide, wide * (1 + 2.0**-11)):
        back = torch.empty(2**16, dtype=dtype)
        _narrow(floats.contiguous().data_ptr(), back.data_ptr(), 2**16, DTYPES[dtype])
        expected = floats.to(dtype)
        assert torch.equal(back.isnan(), expected.isnan())
        number = ~expected.isnan()
        assert torch.equal(back[number].view(torch.int16), expected[number].view(torch.int16))


@njit(**OPTIONS)
def _turn(source, stride, rows, count, target, turned, of):
    simd.load_transposed(source, 0, stride, rows, count, turned, of)
    simd.store_transposed(turned, target, 0, stride, rows, count, of)


@pytest.mark.parametrize("dtype", list(DTYPES), ids=str)
@pytest.mark.parametrize(("rows", "count"), [(16, 16), (16, 5), (3, 16), (1, 1)])
def test_tiles_are_turned_and_turned_back(dtype: torch.dtype, rows: int, count: int) -> None:
    source = torch.arange(16 * 19).reshape(16, 19).to(dtype)
    target = torch.full((16, 19), -1).to(dtype)
    turned = torch.empty(16, 16)
    _turn(source.data_ptr(), 19, rows, count, target.data_ptr(), turned.data_ptr(), DTYPES[dtype])
    expected = source[:rows, :count].float().T
    assert torch.equal(turned[:count, :rows], expected)
    assert torch.equal(turned[:count, rows:], expected[:, -1:].expand(-1, 16 - rows))
    assert bool((turned[count:] == 0).all())
    assert torch.equal(target[:rows, :count], source[:rows, :count])
    target[:rows, :count] = -1
    assert bool((target == -1).all())


@njit(**OPTIONS)
def _arithmetic(x, y, out, scalar):
    a, b = simd.load(x, 0), simd.load(y, 0)
    held = simd.buffer(16)
    simd.store(held, 0, -a)
    results = (
        a + b,
        a - b,
        a * b,
        a / b,
        simd.load(held, 0),
        simd.fma(a, b, a),
        simd.minimum(a, b),
        simd.maximum(a, b),
        simd.where_less(a, b, b, a),
        simd.splat(scalar),
        simd.broadcast(y, 3),
    )
    simd.put(out, 11 * 16, simd.total(a))
    simd.put(out, 11 * 16 + 1, simd.get(x, 5))
    for i in range(11):
        simd.store(out, 16 * i, results[i])


def test_arithmetic() -> None:
    x = torch.arange(16.0) - 8
    y = torch.linspace(3, -5, 16)
    out = torch.empty(12 * 16)
    _arithmetic(x.data_ptr(), y.data_ptr(), out.data_ptr(), 2.5)
    found = out[: 11 * 16].reshape(11, 16)
    larger = torch.maximum(x, y)
    expected = [x + y, x - y, x * y, x / y, -x, x * y + x, torch.minimum(x, y), larger, larger]
    expected += [torch.full((16,), 2.5), y[3].expand(16)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=2e-7, atol=1e-6)
    assert out[11 * 16 : 11 * 16 + 2].tolist() == [x.sum().item(), -3.0]


def test_nan_is_kept_by_clamping_from_the_left() -> None:
    x, y = torch.full((16,), torch.nan), torch.ones(16)
    out = torch.empty(12 * 16)
    _arithmetic(y.data_ptr(), x.data_ptr(), out.data_ptr(), 1.0)
    assert bool(out[6 * 16 : 8 * 16].isnan().all())


@njit(**OPTIONS)
def _one_by_one(x, y, count, of):
    for i in range(count):
        simd.put(y, i, simd.get(x, i, of), of)


@pytest.mark.parametrize("dtype", list(DTYPES), ids=str)
def test_single_numbers_of_every_type(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, -0.0, 1.0, -2.5, 1e-7, 3e4, torch.inf, -torch.inf, torch.nan, 5.0]).to(dtype)
    y = torch.full((11,), 7.0).to(dtype)
    _one_by_one(x.data_ptr(), y.data_ptr(), 9, DTYPES[dtype])
    torch.testing.assert_close(y[:9], x[:9], rtol=0, atol=0, equal_nan=True)
    assert y[9:].tolist() == [7.0, 7.0]


@njit(**OPTIONS)
def _reduce(x, sums, columns):
    simd.store(sums, 0, simd.totals(x, 16))
    simd.turn(x, 16, 0)
    for i in range(16):
        simd.store(columns, 16 * i, simd.load(x, 16 * i))


def test_totals_and_columns_of_sixteen_vectors() -> None:
    x = torch.randn(17, 16, generator=torch.Generator().manual_seed(0))
    rows = x[1:].clone()
    sums, columns = torch.empty(16), torch.empty(16, 16)
    _reduce(x.data_ptr(), sums.data_ptr(), columns.data_ptr())
    torch.testing.assert_close(sums, rows.sum(1))
    assert torch.equal(columns, rows.T)
