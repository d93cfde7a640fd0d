"""Every shipped arch: exact parameters and multiply-accumulates, training, types, sizes, compilation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.graph.library import index

PUBLISHED = {
    "mamba_r_tiny": 9_264_232,
    "mamba_r_small": 27_801_064,
    "mamba_r_base": 99_301_096,
    "mamba_r": 99_301_096,
    "mamba_r_large": 341_222_376,
    "mambaout_femto": 7_304_536,
    "mambaout_kobe": 9_141_208,
    "mambaout_tiny": 26_545_096,
    "mambaout": 26_545_096,
    "mambaout_small": 48_488_072,
    "mambaout_base": 84_813_092,
    "mambaout_small_rw": 48_495_560,
    "mambaout_base_short_rw": 88_827_688,
    "mambaout_base_tall_rw": 86_481_448,
    "mambaout_base_wide_rw": 94_448_104,
    "mambaout_base_plus_rw": 101_656_552,
}
SHIPPED = sorted(index())
SMALL: dict[str, dict[str, Any]] = {
    "mamba_r": {"dim": 32, "depth": 3, "image": 64},
    "mambaout": {"dims": (16, 24, 32, 40), "depths": (1, 1, 2, 1), "image": 64},
    "hybrid": {"dim": 16, "image": 112},
    "digits_hybrid": {},
    "tiny": {},
}
FEW_BLOCKS = {
    "drop_path": "0.1",
    "s1.blocks": "gated_conv",
    "s2.blocks": "linear_attn",
    "s3.blocks": "scan(order = cross) + window_attn + window_attn(shift = 3)",
    "s4.blocks": "scan(order = both) + attn",
}
COMPILED = ("mamba_r_tiny", "mambaout_femto", "mambaout_small_rw", "hybrid")
"""One arch of each structure; the others are compiled by the slow tests."""


def _small(name: str) -> archdsl.Model:
    """A shipped arch at reduced size, with 5 classes."""
    family = next(f for f in sorted(SMALL, key=len, reverse=True) if name.startswith(f))
    overrides = {k: v for k, v in FEW_BLOCKS.items() if family == "hybrid" or k == "drop_path"}
    return archdsl.build(name, classes=5, overrides=overrides, **SMALL[family])


def _images(model: archdsl.Model, batch: int = 2) -> torch.Tensor:
    h, w = model.architecture.image
    return torch.randn(batch, model.architecture.channels, h, w)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameters(name: str) -> None:
    assert archdsl.load(name).cost().params == PUBLISHED[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_cost_is_that_of_the_module(name: str) -> None:
    cost = archdsl.load(name).cost()
    model = archdsl.build(name, device="meta", backend="reference").eval()
    assert sum(p.numel() for p in model.parameters()) == cost.params
    assert all(p.is_meta for p in model.parameters())
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model(_images(model, 1).to("meta"))
    assert counted.get_total_flops() == 2 * cost.macs.total
    for path, row in zip(dict(archdsl.load(name).top()), cost.rows, strict=True):
        assert sum(p.numel() for p in model.get_submodule(path).parameters()) == row.params, path


@pytest.mark.parametrize("name", SHIPPED)
def test_a_step_of_training_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    model = _small(name).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    logits = model(_images(model, 4))
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.abs().sum() > 0, path
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", SHIPPED)
def test_half_precision_and_another_size(name: str) -> None:
    torch.manual_seed(0)
    model = _small(name).eval()
    images = _images(model)
    with torch.no_grad():
        exact = model(images)
        assert exact.dtype == torch.float32
        h, w = model.architecture.image
        assert model(torch.randn(1, model.architecture.channels, 2 * h, 3 * w)).shape == (1, 5)
        rough = model.to(torch.bfloat16)(images.bfloat16())
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() <= 0.1 * exact.abs().max() + 0.02


def test_padded_windows_take_any_image() -> None:
    overrides = {**FEW_BLOCKS, "pad": "on"}
    model = archdsl.build("hybrid", classes=5, dim=16, image=(99, 61), overrides=overrides).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 99, 61)).shape == (1, 5)
        assert model(torch.randn(1, 3, 70, 130)).shape == (1, 5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "name", [n if n in COMPILED else pytest.param(n, marks=pytest.mark.slow) for n in SHIPPED]
)
def test_compiles_as_one_graph(name: str, training: bool) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    model = _small(name).train(training)
    images = _images(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    if training:
        compiled(images).sum().backward()
        assert all(p.grad is not None for p in model.parameters())
    else:
        with torch.no_grad():
            torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-5)
