"""Hybrids that nobody published: what the parts promise holds where no paper tried it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from counts import assert_counted

import archdsl
from archdsl.compiler import Model
from archdsl.graph.architecture import Architecture

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "tests" / "data" / "strangers.arch"
DOCUMENT = ROOT / "docs" / "hybrids.md"
NAMES = re.findall(r"^arch (\w+)", SPEC.read_text(encoding="utf-8"), re.MULTILINE)
ASKED_FOR = {
    "registers_in_mila": {"dim": 32, "depths": [1, 1, 2, 1], "image": 64},
    "scan_stage_in_mambaout": {"dims": [16, 24, 32, 40], "depths": [1, 1, 2, 1], "image": 64},
    "windowed_scans": {"dim": 16, "depths": [2, 2, 2, 2], "image": 64},
    "linear_attention_with_class_token": {"dim": 48, "depth": 3, "image": 64},
    "vmamba_attention_last": {"dim": 16, "depths": [1, 1, 2], "image": 64},
}
"""Five that people asked for first, with arguments that make them small."""
LINES = 20
OTHER_SIZE = {"shifted_copies": (96, 80)}
"""Where windows don't pad, the map has to divide; elsewhere any size does."""


def loaded(name: str) -> Architecture:
    return archdsl.load(SPEC, name, classes=7, **ASKED_FOR.get(name, {}))


def built(name: str, device: str = "cpu") -> Model:
    torch.manual_seed(0)
    return archdsl.build(SPEC, name, classes=7, device=device, **ASKED_FOR.get(name, {}))


def test_the_file_is_clean() -> None:
    assert archdsl.check(SPEC) == []
    assert len(NAMES) >= 8


@pytest.mark.parametrize("name", ASKED_FOR)
def test_twenty_lines_are_enough(name: str, tmp_path: Path) -> None:
    opening, *others = SPEC.read_text(encoding="utf-8").split("\n\n")
    (own,) = (text for text in others if re.search(rf"^arch {name}\b", text, re.MULTILINE))
    needed = [text for text in others if text.startswith("mixer halve") and re.search(r"\bhalve\b", own)]
    alone = tmp_path / "alone.arch"
    alone.write_text("\n\n".join([opening, *needed, own]) + "\n", encoding="utf-8")
    lines = [line for line in alone.read_text(encoding="utf-8").splitlines() if line]
    assert len([line for line in lines if not line.startswith("#")]) <= LINES
    assert archdsl.check(alone) == []
    assert archdsl.load(alone, name).digest() == archdsl.load(SPEC, name).digest()
    widest = max(len(line) for line in lines)
    assert widest <= 120


def test_the_documents_show_these() -> None:
    shown = re.findall(r"^```arch[^\n]*\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    spec = SPEC.read_text(encoding="utf-8")
    parts = [part.strip() for text in shown for part in text.split("\n\n")]
    assert len(shown) >= 2
    assert [part for part in parts if part not in spec] == []


@pytest.mark.parametrize("name", ASKED_FOR)
def test_training_makes_the_loss_smaller(name: str) -> None:
    model = built(name).train()
    height, width = model.architecture.image
    images, targets = torch.randn(4, 3, height, width + 17), torch.arange(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.isfinite().all() for p in model.parameters())


def test_they_are_what_their_names_say() -> None:
    mila, mambaout, windows, linear, vmamba = (archdsl.load(SPEC, name) for name in ASKED_FOR)
    assert [e.count for e in mila.stages[-1].feature.extras] == [4]
    assert _operators(mila, 0) == _operators(archdsl.load("mila_t"), 0)
    assert ["selective_scan" in _operators(mambaout, i) for i in range(4)] == [False, False, True, False]
    base = archdsl.load("mambaout_femto")
    assert all(mambaout.stages[i].blocks == base.stages[i].blocks for i in (0, 1, 3))
    for stage, count in zip(windows.stages, (64, 16, 4, 1), strict=True):
        scans = [n for block in stage.blocks for n in block.walk() if n.op.name == "selective_scan"]
        assert scans
        assert all((n.input.tokens, n.input.windows) == (7 * 7, count) for n in scans)
    assert [e.kind for e in linear.stages[0].feature.extras] == ["class_token"]
    assert "linear_attention" in _operators(linear, 0)
    mixers = ("selective_scan", "attention")
    assert [[m for m in mixers if m in _operators(vmamba, i)] for i in range(3)] == [
        ["selective_scan"], ["selective_scan"], ["attention"]
    ]  # fmt: skip


def _operators(architecture: Architecture, stage: int) -> set[str]:
    return {n.op.name for block in architecture.stages[stage].blocks for n in block.walk()}


@pytest.mark.parametrize("name", NAMES)
def test_the_cost_is_that_of_the_module(name: str) -> None:
    assert_counted(built(name, "meta"))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_at_two_sizes(name: str) -> None:
    height, width = loaded(name).image
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
    architecture = loaded(name)
    written = tmp_path / "written.arch"
    written.write_text(architecture.to_source(), encoding="utf-8")
    assert archdsl.check(written) == []
    again = archdsl.load(written)
    assert again.digest() == architecture.digest()
    assert again.cost().params == architecture.cost().params


@pytest.mark.parametrize("name", ["shifted_copies", "copies_in_windowed_scans"])
def test_it_exports(name: str) -> None:
    model = built(name).eval()
    images = torch.randn(1, 3, *model.architecture.image)
    exported = torch.export.export(model, (images,)).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(images), model(images), rtol=1e-4, atol=1e-5)
