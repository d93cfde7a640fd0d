"""What can only be seen on a CUDA device: `pytest -m gpu`; skipped where there is none."""

from __future__ import annotations

import copy

import pytest
import torch

import archdsl

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SMALL: dict[str, dict[str, object]] = {
    "mamba_r_tiny": {"dim": 32, "depth": 2, "registers": 4, "image": 64},
    "mambaout_femto": {"dims": [16, 24, 32, 48], "depths": [1, 1, 2, 1], "image": 64},
    "hybrid": {"dim": 16, "image": 112},
}
TOLERANCE = {torch.float32: 2e-4, torch.bfloat16: 6e-2}


def scan_inputs(dtype: torch.dtype) -> list[torch.Tensor]:
    """u, delta, A, B, C, D for 2 images, 197 steps, 48 channels, 16 states."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    u, delta, b, c = normal(2, 197, 48), normal(2, 197, 48) - 2, normal(2, 197, 16), normal(2, 197, 16)
    return [u.to(dtype), delta.to(dtype), -torch.exp(normal(48, 16)), b.to(dtype), c.to(dtype), normal(48)]


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference against the largest value."""
    expected = expected.double().cpu()
    return float((found.double().cpu() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_scan_on_cuda_is_the_scan_in_float64(dtype: torch.dtype, direction: str) -> None:
    from archdsl.kernels import selective_scan

    rounded = scan_inputs(dtype)
    exact = [v.double().requires_grad_() for v in rounded]
    given = [
        v.to("cuda", dtype if i not in (2, 5) else torch.float32).requires_grad_()
        for i, v in enumerate(rounded)
    ]
    wanted = selective_scan(*exact, delta_softplus=True, direction=direction)
    found = selective_scan(*given, delta_softplus=True, direction=direction)
    assert relative(found, wanted) < TOLERANCE[dtype]
    weight = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted.backward(weight)
    found.backward(weight.to("cuda", found.dtype))
    for a, b in zip(given, exact, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert relative(a.grad, b.grad) < TOLERANCE[dtype]


@pytest.mark.parametrize("name", SMALL)
def test_model_on_cuda_gives_what_it_gives_on_the_cpu(name: str) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    model = archdsl.build(name, **SMALL[name]).eval()
    size = model.architecture.image
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        wanted = copy.deepcopy(model).double()(images.double())
        assert relative(model.cuda()(images.cuda()), wanted) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("name", SMALL)
def test_training_step_on_cuda_under_autocast(name: str) -> None:
    model = archdsl.build(name, device="cuda", **SMALL[name]).train()
    images = torch.randn(4, 3, *model.architecture.image, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = model(images).float().square().mean()
    loss.backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path


@pytest.mark.parametrize("name", SMALL)
def test_compiled_with_inductor_gives_the_same(name: str) -> None:
    model = archdsl.build(name, device="cuda", **SMALL[name]).eval()
    images = torch.randn(2, 3, *model.architecture.image, device="cuda")
    with torch.no_grad():
        wanted = model(images)
        found = torch.compile(model, fullgraph=True)(images)
    assert relative(found, wanted) < 1e-3
