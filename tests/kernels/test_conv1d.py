"""The depthwise convolution along the sequence: values and gradients, routes, directions, paths, types."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from archdsl.kernels.conv1d import LADDER, conv1d
from archdsl.kernels.conv1d.operator import forward_operator

BACKENDS = [c.name for c in LADDER.candidates if c.available() is None]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def by_torch(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    behind: int,
    silu: bool,
    reverse: tuple[bool, ...],
    paths: Tensor | None,
) -> Tensor:
    """Every route by torch's own convolution, tokens put in the order of reading and back."""
    routes = []
    for k, turned in enumerate(reverse):
        v = x if x.ndim == 3 else x[k]
        rows = torch.arange(v.shape[1]) if paths is None else paths[k]
        rows = rows.flip(0) if turned else rows
        taps = weight.shape[-1]
        padded = functional.pad(v[:, rows].mT, (taps - 1 - behind, behind))
        y = functional.conv1d(
            padded, weight[k].unsqueeze(1), None if bias is None else bias[k], groups=v.shape[-1]
        )
        routes.append((functional.silu(y) if silu else y).mT[:, rows.argsort()])
    return torch.stack(routes)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(1, 40)),
    taps=st.integers(1, 5),
    behind=st.integers(0, 4),
    reverse=st.lists(st.booleans(), min_size=1, max_size=4),
    has_bias=st.booleans(),
    silu=st.booleans(),
    common=st.booleans(),
    along_paths=st.booleans(),
    strided=st.booleans(),
    backend=st.sampled_from(["auto", *BACKENDS]),
    dtype=st.sampled_from(list(TOLERANCE)),
)
def test_any_shape(
    shape: tuple[int, int, int],
    taps: int,
    behind: int,
    reverse: list[bool],
    has_bias: bool,
    silu: bool,
    common: bool,
    along_paths: bool,
    strided: bool,
    backend: str,
    dtype: torch.dtype,
) -> None:
    backend = "auto" if dtype == torch.float64 else backend
    r, (b, length, d), behind = len(reverse), shape, behind % taps
    draw = torch.Generator().manual_seed(hash((shape, taps, r)) % 2**31)
    wide = torch.randn(*(() if common else (r,)), b, length, 2 * d if strided else d, generator=draw)
    tensors = [wide, torch.randn(r, d, taps, generator=draw), torch.randn(r, d, generator=draw)]
    paths = torch.stack([torch.randperm(length, generator=draw) for _ in range(r)]) if along_paths else None
    found = [t.to(dtype).requires_grad_() for t in tensors]
    exact = [t.detach().double().requires_grad_() for t in found]

    def cut(x: Tensor) -> Tensor:
        return x[..., d:] if strided else x

    directions = tuple("backward" if turned else "forward" for turned in reverse)
    y = conv1d(
        cut(found[0]),
        found[1],
        found[2] if has_bias else None,
        behind=behind,
        activation="silu" if silu else None,
        direction=directions,
        paths=paths,
        backend=backend,
    )
    if length == 0:  # torch's convolution takes no empty sequence
        assert y.shape == (r, b, length, d)
        return
    wanted = by_torch(
        cut(exact[0]), exact[1], exact[2] if has_bias else None, behind, silu, tuple(reverse), paths
    )
    assert y.dtype == dtype
    assert y.is_contiguous()
    close(y, wanted, dtype)
    weight = torch.randn(wanted.shape, generator=draw).to(dtype)
    used = 3 if has_bias else 2
    grads = torch.autograd.grad(y, found[:used], weight)
    for a, e in zip(grads, torch.autograd.grad(wanted, exact[:used], weight.double()), strict=True):
        assert a.dtype == dtype
        close(a, e, dtype)


def close(found: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    scale = max(1.0, exact.abs().max().item()) if exact.numel() else 1.0
    torch.testing.assert_close(found.double() / scale, exact / scale, rtol=0, atol=TOLERANCE[dtype])


def test_gradcheck() -> None:
    draw = torch.Generator().manual_seed(0)
    shapes = ((2, 5, 3), (2, 3, 3), (2, 3))
    x, weight, bias = (torch.randn(s, generator=draw, dtype=torch.float64).requires_grad_() for s in shapes)

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv1d(x, weight, bias, behind=1, activation="silu", direction=("forward", "backward"))

    assert torch.autograd.gradcheck(run, (x, weight, bias))


@pytest.mark.parametrize("common", [False, True])
def test_is_an_operator_of_torch(common: bool) -> None:
    x = torch.randn(*(() if common else (2,)), 2, 7, 5, requires_grad=True)
    weight, bias = torch.randn(2, 5, 3, requires_grad=True), torch.randn(2, 5, requires_grad=True)
    paths = torch.stack([torch.randperm(7) for _ in range(2)])
    torch.library.opcheck(forward_operator, (x, weight, bias, 1, True, (False, True), paths, "reference"))
    torch.library.opcheck(forward_operator, (x, weight, None, 0, False, (True, True), None, "reference"))


def test_one_route_needs_no_routes() -> None:
    x, weight = torch.randn(2, 6, 4), torch.randn(4, 3)
    y = conv1d(x, weight, direction="backward", activation="silu")
    assert torch.equal(y, conv1d(x, weight[None], direction=("backward",), activation="silu")[0])
    assert y.shape == x.shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(5, 3)}, "x is"),
        ({"bias": torch.zeros(5)}, "bias is"),
        ({"bias": torch.zeros(4, dtype=torch.float64)}, "float64"),
        ({"paths": torch.zeros(1, 5, dtype=torch.long)}, "paths is"),
        ({"behind": 3}, "behind"),
        ({"activation": "gelu"}, "activation"),
        ({"direction": "up"}, "direction"),
        ({"direction": ("forward", "backward")}, "2 directions"),
        ({"backend": "abacus"}, "abacus"),
        ({"weight": torch.zeros(3)}, "weight is"),
    ],
)
def test_refuses_what_does_not_fit(change: dict[str, object], message: str) -> None:
    given = {"x": torch.zeros(2, 6, 4), "weight": torch.zeros(4, 3)} | change
    with pytest.raises(ValueError, match=message):
        conv1d(**given)  # type: ignore[arg-type]
