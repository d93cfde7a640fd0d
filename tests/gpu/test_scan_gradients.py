"""Gradients of the selective scan on a CUDA device, by each of its kernels: `pytest -m gpu`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import archdsl
from archdsl.kernels import selective_scan
from archdsl.kernels.proof import TOLERANCE, difference
from archdsl.kernels.selective_scan import LADDER, Call

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

KERNELS = ("triton", "mamba_ssm")
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def need(kernel: str) -> None:
    """Skips where the kernel is not installed."""
    reason = next(c for c in LADDER.candidates if c.name == kernel).available()
    if reason is not None:
        pytest.skip(f"{kernel}: {reason}")


def drawn(
    length: int, dtype: torch.dtype, *, routes: int = 1, images: int = 2, channels: int = 48
) -> list[Tensor]:
    """The eight tensors on the device, with a dimension of routes; the gate is of merged routes."""
    draw = torch.Generator().manual_seed(length)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw)

    sequence, projected = (routes, images, length, channels), (routes, images, length, 16)
    numbers = [
        normal(*sequence).to(dtype),
        (normal(*sequence) - 2).to(dtype),
        -normal(routes, channels, 16).exp(),
        normal(*projected).to(dtype),
        normal(*projected).to(dtype),
        normal(routes, channels),
        normal(*sequence[1:]).to(dtype),
        normal(routes, channels),
    ]
    return [v.cuda() for v in numbers]


def gradients(given: list[Tensor], weight: Tensor, **options: Any) -> list[Tensor]:
    """The output and the eight gradients of its weighted sum."""
    leaves = [v.detach().requires_grad_() for v in given]
    options = {"delta_softplus": True, "merge": "mean"} | options
    y = selective_scan(**dict(zip(NAMES, leaves, strict=True)), **options)
    y.backward(weight.to(y.dtype))
    return [y.detach(), *(v.grad for v in leaves if v.grad is not None)]


def compare(found: list[Tensor], wanted: list[Tensor], dtype: torch.dtype, length: int) -> None:
    """Sums of many roundings are allowed more of them."""
    allowed = TOLERANCE[dtype] * (2 if length > 256 else 1)
    errors = {n: difference(a, b) for n, a, b in zip(("y", *NAMES), found, wanted, strict=True)}
    assert {name: error for name, error in errors.items() if not error <= allowed} == {}


def weight_of(given: list[Tensor], dtype: torch.dtype) -> Tensor:
    shape = given[6].shape
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype).cuda()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("length", [1, 197, 1024, 4096])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_are_those_in_float64(dtype: torch.dtype, length: int, direction: str, kernel: str) -> None:
    need(kernel)
    given = drawn(length, dtype)
    weight = weight_of(given, dtype)
    found = gradients(given, weight, direction=direction, backend=kernel)
    exact = [v.double() for v in given]
    wanted = gradients(exact, weight.double(), direction=direction, backend="reference")
    compare(found, wanted, dtype, length)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("routes", [2, 4])
@pytest.mark.parametrize("layout", ["bld", "bdl"])
def test_gradients_of_several_routes(layout: str, routes: int, kernel: str) -> None:
    need(kernel)
    given = drawn(197, torch.float32, routes=routes)
    if layout == "bdl":
        for i in (0, 1, 3, 4, 6):
            given[i] = given[i].transpose(-1, -2).contiguous()
    weight = weight_of(given, torch.float32)
    options = {"direction": ("forward", "backward") * (routes // 2), "layout": layout}
    found = gradients(given, weight, backend=kernel, **options)
    wanted = gradients([v.double() for v in given], weight.double(), backend="reference", **options)
    compare(found, wanted, torch.float32, 197)


def test_gradients_along_paths() -> None:
    given = drawn(196, torch.bfloat16, routes=4)
    weight = weight_of(given, torch.bfloat16)
    rows = torch.arange(196).view(14, 14)
    paths = torch.stack([rows.flatten(), rows.t().flatten()] * 2).cuda()
    options = {"direction": ("forward", "forward", "backward", "backward"), "paths": paths, "merge": "add"}
    found = gradients(given, weight, backend="triton", **options)
    wanted = gradients([v.double() for v in given], weight.double(), backend="reference", **options)
    compare(found, wanted, torch.bfloat16, 196)


@pytest.mark.parametrize("images", [1, 64])
def test_gradients_are_the_same_every_time(images: int) -> None:
    given = drawn(1024, torch.bfloat16, routes=2, images=images, channels=384)
    weight = weight_of(given, torch.bfloat16)
    first = gradients(given, weight, direction="both", backend="triton")
    for _ in range(3):
        again = gradients(given, weight, direction="both", backend="triton")
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_many_images_at_once() -> None:
    """As many programs as a training step has; sampled against one image of its own."""
    given = drawn(197, torch.bfloat16, images=128, channels=384)
    weight = weight_of(given, torch.bfloat16)
    found = gradients(given, weight, backend="triton")
    some = [v[:, 77:78] if i in (0, 1, 3, 4) else v[77:78] if i == 6 else v for i, v in enumerate(given)]
    alone = gradients([v.double() for v in some], weight[77:78].double(), backend="reference")
    for i in (1, 2, 4, 5):
        assert difference(found[i][:, 77:78], alone[i]) <= TOLERANCE[torch.bfloat16]


def test_the_ladder_lets_triton_serve() -> None:
    call = Call("cuda", torch.bfloat16, 2, 197, 384, 16)
    triton = next(c for c in LADDER.candidates if c.name == "triton")
    for dtype in DTYPES:
        for layout in ("bld", "bdl"):
            assert LADDER.proof(triton, call._replace(dtype=dtype, layout=layout)).reason is None


@pytest.mark.parametrize("name", ["mamba_r_tiny", "hybrid"])
def test_a_training_step_compiled_with_inductor_is_the_same(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHDSL_BACKEND", "triton")
    small = {
        "mamba_r_tiny": {"dim": 32, "depth": 2, "registers": 4, "image": 64},
        "hybrid": {"dim": 16, "image": 112},
    }
    torch.manual_seed(0)
    model = archdsl.build(name, device="cuda", **small[name]).eval()
    images = torch.randn(2, 3, *model.architecture.image, device="cuda")
    model(images).square().mean().backward()
    wanted = {path: p.grad.clone() for path, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    torch.compile(model, fullgraph=True)(images).square().mean().backward()
    found = {path: p.grad for path, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == wanted.keys()
    for path, gradient in found.items():
        assert difference(gradient, wanted[path]) < 1e-2, path
