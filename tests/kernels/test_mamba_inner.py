"""The inside of a Mamba mixer in one operator, against its formula: values, gradients, routes, types."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from archdsl.kernels.mamba_inner import Inputs, mamba_inner, reference
from archdsl.kernels.mamba_inner.operator import forward_operator
from archdsl.kernels.selective_scan import LADDER

BACKENDS = [c.name for c in LADDER.candidates if c.available() is None]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 6e-2, torch.float16: 1e-2}


def draw(
    *,
    routes: int = 2,
    batch: int = 2,
    length: int = 7,
    channels: int = 5,
    state: int = 3,
    rank: int = 2,
    taps: int = 3,
    behind: int = 0,
    conv_bias: bool = True,
    along_paths: bool = False,
    gated: bool = True,
    twice: bool = False,
    reverse: tuple[bool, ...] | None = None,
    mean: bool = True,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Inputs:
    generator = torch.Generator().manual_seed(seed)

    def tensor(*shape: int, scale: float = 1.0) -> Tensor:
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        return drawn.to(dtype).requires_grad_()

    def each(*shape: int, scale: float = 1.0) -> Tensor:
        return tensor(routes, *shape, scale=scale)

    paths = torch.stack([torch.randperm(length, generator=generator) for _ in range(routes)])
    return Inputs(
        tensor(batch, length, channels * (2 if gated else 1)),
        each(channels, 1, taps) if taps else None,
        each(channels) if taps and conv_bias else None,
        each(rank + 2 * state, channels, scale=channels**-0.5),
        each(channels, rank, scale=rank**-0.5),
        each(channels),
        each(channels, state),
        each(channels),
        paths if along_paths else None,
        gated,
        behind,
        2 if twice else 1,
        tuple(k % 2 == 1 for k in range(routes)) if reverse is None else reverse,
        mean,
    )


def exactly(x: Inputs) -> Inputs:
    """The same numbers in float64."""
    values = [None if v is None else v.detach().double().requires_grad_() for v in (x.xz, *x.parameters)]
    return Inputs(*values, *x[8:])  # type: ignore[arg-type]


def leaves(x: Inputs) -> list[Tensor]:
    return [x.xz, *(v for v in x.parameters if v is not None)]


def compare(x: Inputs, backend: str = "auto") -> None:
    """Output and every gradient."""
    exact, tolerance = exactly(x), TOLERANCE[x.xz.dtype]
    y, wanted = mamba_inner(x, backend), reference.mamba_inner(exact)
    assert y.dtype == x.xz.dtype
    weight = torch.randn(wanted.shape, dtype=torch.float64).to(y.dtype)
    grads = torch.autograd.grad(y, leaves(x), weight)
    expected = torch.autograd.grad(wanted, leaves(exact), weight.double())
    for found, right, like in zip((y, *grads), (wanted, *expected), (y, *leaves(x)), strict=True):
        assert found.dtype == like.dtype
        scale = right.abs().max().clamp(min=1)
        torch.testing.assert_close(found.double() / scale, right / scale, rtol=0, atol=tolerance)
    with torch.no_grad():
        torch.testing.assert_close(mamba_inner(x, backend), y.detach())


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"gated": False, "routes": 1, "taps": 3, "behind": 1, "conv_bias": False, "twice": True},
        {"gated": False, "taps": 0, "routes": 4, "along_paths": True, "mean": False, "state": 1},
        {"taps": 0, "routes": 1},
        {"along_paths": True, "taps": 4, "routes": 3, "channels": 16, "length": 70},
    ],
    ids=["vim", "mambavision", "vmamba", "bare", "paths"],
)
def test_values_and_gradients(form: dict[str, object], dtype: torch.dtype, backend: str) -> None:
    if dtype == torch.float64:
        backend = "auto"
    compare(draw(**form, dtype=dtype), backend)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(
    routes=st.integers(1, 4),
    batch=st.integers(1, 3),
    length=st.integers(1, 9),
    channels=st.integers(1, 20),
    state=st.integers(1, 5),
    rank=st.integers(1, 3),
    taps=st.integers(0, 4),
    behind=st.integers(0, 3),
    conv_bias=st.booleans(),
    along_paths=st.booleans(),
    gated=st.booleans(),
    twice=st.booleans(),
    mean=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    data=st.data(),
)
def test_any_form(
    routes: int, taps: int, behind: int, dtype: torch.dtype, data: st.DataObject, **form: object
) -> None:
    reverse = tuple(data.draw(st.lists(st.booleans(), min_size=routes, max_size=routes)))
    behind = behind % taps if taps else 0
    drawn = draw(routes=routes, taps=taps, behind=behind, reverse=reverse, dtype=dtype, **form)  # type: ignore[arg-type]
    compare(drawn)


@pytest.mark.parametrize("form", [{}, {"taps": 0, "gated": False, "along_paths": True}])
def test_is_an_operator_of_torch(form: dict[str, bool]) -> None:
    x = draw(dtype=torch.float32, **form)  # type: ignore[arg-type]
    torch.library.opcheck(forward_operator, (*x, True, "reference"))
    with torch.no_grad():
        torch.library.opcheck(forward_operator, (*x, False, "reference"), test_utils="test_faketensor")


def test_empty_batches_and_sequences() -> None:
    for form in ({"batch": 0}, {"length": 0}):
        x = draw(**form)  # type: ignore[arg-type]
        y = mamba_inner(x)
        assert y.shape == (x.xz.shape[0], x.xz.shape[1], 5)
        grads = torch.autograd.grad(y.sum(), leaves(x))
        assert all(not g.any() for g in grads)


def test_strided_tokens() -> None:
    x = draw()
    wide = torch.cat([x.xz.detach(), torch.randn_like(x.xz)], dim=1)
    cut = wide[:, : x.xz.shape[1]]
    torch.testing.assert_close(mamba_inner(x._replace(xz=cut)), mamba_inner(x))


def test_weights_shared_by_routes_get_both_gradients() -> None:
    x = draw()
    one = [None if v is None else v[:1].detach().requires_grad_() for v in x.parameters]
    both = [None if v is None else v.expand(2, *v.shape[1:]) for v in one]
    shared = Inputs(x.xz, *both, *x[8:])  # type: ignore[arg-type]
    found = torch.autograd.grad(mamba_inner(shared).sum(), one)
    wanted = torch.autograd.grad(reference.mamba_inner(shared).sum(), one)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xz": torch.zeros(2, 7, 5)}, "channels"),
        ({"D": torch.zeros(1, 5)}, "D is"),
        ({"A_log": torch.zeros(5, 3)}, "A_log has 2 dimensions"),
        ({"conv": torch.zeros(2, 5, 3)}, "conv is"),
        ({"x_proj": torch.zeros(2, 8, 5)}, "float32"),
        ({"paths": torch.zeros(2, 3, dtype=torch.long)}, "paths"),
        ({"behind": 3}, "behind"),
    ],
)
def test_refuses_what_does_not_fit(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mamba_inner(draw()._replace(**change))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="abacus"):
        mamba_inner(draw(), "abacus")


def test_floating_point_operations_are_counted() -> None:
    x = draw(dtype=torch.float32)
    steps, e, n, q = 2 * 7, 5, 3, 2
    convolved, projected, stepped = 3 * e, (q + 2 * n) * e, q * e
    with FlopCounterMode(display=False) as counter:
        y = mamba_inner(x)
    assert counter.get_total_flops() == 2 * 2 * steps * (convolved + projected + stepped)
    with FlopCounterMode(display=False) as counter:
        y.sum().backward()
    assert counter.get_total_flops() == 2 * 2 * steps * (3 * convolved + 2 * projected + 3 * stepped)


def test_a_running_counter_is_told_of_operators_at_their_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = draw()
    with FlopCounterMode(display=False) as known:
        mamba_inner(x)
    for operator in [o for o in flop_registry if "archdsl" in str(o)]:
        monkeypatch.delitem(flop_registry, operator)
    with FlopCounterMode(display=False) as counter:
        mamba_inner(x)
    assert counter.get_total_flops() == known.get_total_flops() > 0
