"""Hybrids that nobody published: what the parts promise holds where no paper tried it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.compiler import Model

SPEC = Path(__file__).parents[1] / "data" / "strangers.arch"
NAMES = re.findall(r"^arch (\w+)", SPEC.read_text(encoding="utf-8"), re.MULTILINE)
OTHER_SIZE = {"shifted_copies": (96, 80)}
"""Where windows don't pad, the map has to divide; elsewhere any size does."""


def built(name: str, device: str = "cpu") -> Model:
    torch.manual_seed(0)
    return archdsl.build(SPEC, name, classes=7, device=device)


def test_the_file_is_clean() -> None:
    assert archdsl.check(SPEC) == []
    assert len(NAMES) >= 8


@pytest.mark.parametrize("name", NAMES)
def test_the_cost_is_that_of_the_module(name: str) -> None:
    architecture = archdsl.load(SPEC, name, classes=7)
    model = built(name, "meta").eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, *architecture.image, device="meta"))
    assert architecture.cost().params == sum(p.numel() for p in model.parameters())
    assert 2 * architecture.cost().macs.total == counter.get_total_flops()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_at_two_sizes(name: str) -> None:
    height, width = archdsl.load(SPEC, name).image
    model = built(name).train()
    for size in ((height, width), OTHER_SIZE.get(name, (height + 16, width - 7))):
        model.zero_grad()
        out = model(torch.randn(2, 3, *size))
        assert out.shape == ((2, 7) if model.architecture.head else out.shape)
        (out * torch.randn_like(out)).sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients
        assert all(bool(g.isfinite().all()) for g in gradients)


@pytest.mark.parametrize(
    "name", ["both_kinds", "columns_without_scans", "forgetful", "shared_scan", "shifted_copies"]
)
def test_a_gradient_reaches_everything_that_the_head_can_see(name: str) -> None:
    model = built(name).train()
    out = model(torch.randn(2, 3, *model.architecture.image))
    (out * torch.randn_like(out)).sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_registers_that_nothing_looks_at_carry_no_gradient_from_the_patches() -> None:
    model = built("registers_in_mambaout").train()
    images = torch.randn(2, 3, *model.architecture.image, requires_grad=True)
    model(images).sum().backward()
    assert images.grad is None or not images.grad.any()


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_batch_do_not_mix(name: str) -> None:
    model = built(name).eval()
    images = torch.randn(3, 3, *model.architecture.image)
    with torch.no_grad():
        torch.testing.assert_close(model(images)[1:2], model(images[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_source_says_the_same(name: str, tmp_path: Path) -> None:
    architecture = archdsl.load(SPEC, name)
    written = tmp_path / "written.arch"
    written.write_text(architecture.to_source(), encoding="utf-8")
    assert archdsl.check(written) == []
    again = archdsl.load(written)
    assert again.digest() == architecture.digest()
    assert again.cost().params == architecture.cost().params


@pytest.mark.parametrize("name", ["shifted_copies", "windowed_scans"])
def test_it_exports(name: str) -> None:
    model = built(name).eval()
    images = torch.randn(1, 3, *model.architecture.image)
    exported = torch.export.export(model, (images,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(images), model(images), rtol=1e-4, atol=1e-5)
