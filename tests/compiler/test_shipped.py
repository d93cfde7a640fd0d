"""Every shipped arch: exact parameters and multiply-accumulates, training, types, sizes, compilation."""

from __future__ import annotations

import pytest
import torch
from counts import assert_counted
from families import FAMILIES, family_of
from structures import one_of_each_structure

import archdsl
from archdsl.graph.architecture import Architecture
from archdsl.graph.library import index

PUBLISHED = {name: count for family in FAMILIES.values() for name, count in family.params.items()}
SHIPPED = sorted(name for name, path in index().items() if path.parent.name != "ablations")
COMPILED = {name for family in FAMILIES.values() for name in family.compiled}
"""Compiled by the quick tests; the slow ones compile one arch of each structure."""
TRAINED = {name for family in FAMILIES.values() for name in family.trained}
"""Compiled for training by the quick tests: together they have every mixer, and norms with statistics."""


def _small_architecture(name: str) -> Architecture:
    """A shipped arch at reduced size, with 5 classes."""
    family = family_of(name)
    overrides = {"drop_path": "0.1"} | family.overrides
    return archdsl.load(name, classes=5, overrides=overrides, **family.small)


def _small(name: str) -> archdsl.Model:
    return archdsl.build(_small_architecture(name))


def _images(model: archdsl.Model, batch: int = 2) -> torch.Tensor:
    h, w = model.architecture.image
    return torch.randn(batch, model.architecture.channels, h, w)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameters(name: str) -> None:
    assert archdsl.load(name).cost().params == PUBLISHED[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_cost_is_that_of_the_module(name: str) -> None:
    assert_counted(archdsl.build(name, device="meta", backend="reference"))


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
    overrides = {**FAMILIES["hybrid"].overrides, "pad": "on"}
    model = archdsl.build("hybrid", classes=5, dim=16, image=(99, 61), overrides=overrides).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 99, 61)).shape == (1, 5)
        assert model(torch.randn(1, 3, 70, 130)).shape == (1, 5)


def _compiles(name: str, training: bool) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    model = _small(name).train(training)
    images = _images(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    if training:
        compiled(images).sum().backward()
        assert all(p.grad is not None for p in model.parameters()), name
    else:
        with torch.no_grad():
            torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_compiles_as_one_graph(name: str) -> None:
    _compiles(name, training=False)


@pytest.mark.parametrize("name", sorted(TRAINED))
def test_a_step_of_training_compiles_as_one_graph(name: str) -> None:
    _compiles(name, training=True)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_structure_compiles(family: str) -> None:
    names = sorted((n for n in SHIPPED if family_of(n).name == family), key=lambda n: (n not in COMPILED, n))
    for architecture in one_of_each_structure(map(_small_architecture, names)):
        for training in (False, True):
            if architecture.name not in (TRAINED if training else COMPILED):
                _compiles(architecture.name, training)
