"""MILA's counts: as its paper's counter has them, and of every ablation in closed form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import archdsl
from archdsl.graph.cost import scan9

ABLATIONS = Path(__file__).parents[2] / "specs" / "ablations" / "mila.arch"
WIDTHS = (96, 192, 384, 768)
DEPTHS = (2, 2, 6, 2)
TOKENS = (56**2, 28**2, 14**2, 7**2)
BASELINE = 28_265_032
"""Swin-T has 28,288,354, with 169 relative positions for each of its 138 heads."""

SMALL: dict[str, Any] = {"dim": 16, "depths": [1, 1, 1, 1], "image": 64, "classes": 5}

BLOCKS = list(zip(WIDTHS, DEPTHS, TOKENS, strict=True))
SQUARES = sum(n * c * c for c, n, _ in BLOCKS)
LINES = sum(n * c for c, n, _ in BLOCKS)


def _values(name: str, op: str) -> int:
    """How many values all operators of a kind take, of one image."""
    return sum(
        node.input.tokens * node.input.dim
        for _, top in archdsl.load(name).top()
        for node in top.walk()
        if node.op.name == op
    )


@pytest.mark.parametrize(("name", "fvcore"), [("mila_t", "4.149"), ("mila_s", "7.278"), ("mila_b", "16.157")])
def test_the_difference_to_the_published_count_is_that_of_the_norms(name: str, fvcore: str) -> None:
    """fvcore counts 5 for each value of a layer norm, 2 of a batch norm, beside what we count."""
    ours = archdsl.load(name).cost().macs.total
    norms = 5 * _values(name, "layer_norm") + 2 * _values(name, "batch_norm")
    assert f"{(ours + norms) / 1e9:.3f}" == fvcore
    assert f"{ours / 1e9:.3f}" != fvcore


@pytest.mark.parametrize(
    ("name", "linear", "conv", "attention"),
    [
        ("mila_t", "3.006", "1.040", "0.0848"),
        ("mila_s", "6.012", "1.080", "0.1565"),
        ("mila_b", "13.527", "2.352", "0.2348"),
    ],
)
def test_the_count_by_class(name: str, linear: str, conv: str, attention: str) -> None:
    macs = archdsl.load(name).cost().macs
    assert f"{macs.linear / 1e9:.3f}" == linear
    assert f"{macs.conv / 1e9:.3f}" == conv
    assert f"{macs.attention / 1e9:.4f}" == attention


def _params(name: str) -> int:
    return archdsl.load(ABLATIONS, name).cost().params


def _gate(width: int) -> int:
    """Two linears of rank dim / 16, the second with a bias."""
    return 2 * width * (width // 16) + width


def test_the_baseline_is_swin_without_windows() -> None:
    assert 28_288_354 - 169 * sum(n * c // 32 for c, n, _ in BLOCKS) == BASELINE
    assert _params("mila_baseline") == BASELINE


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("input_gate", sum(n * _gate(c) for c, n, _ in BLOCKS)),
        ("forget_gate", sum(n * (_gate(c) + 32 * c) for c, n, _ in BLOCKS)),
        ("shortcut", LINES),
        ("no_norm", 0),
        ("one_head", -2 * sum(n * (c + 1) * (c - 32) for c, n, _ in BLOCKS)),
        ("block_sub", SQUARES + LINES + 10 * LINES),
        ("ape", sum(n * c * t for c, n, t in BLOCKS)),
        ("lepe", 10 * LINES),
        ("cpe", 10 * LINES),
        ("rope", 0),
    ],
)
def test_a_distinction_costs_what_its_parts_cost(name: str, more: int) -> None:
    assert _params(f"mila_{name}") == BASELINE + more


def test_the_whole_block_replaced() -> None:
    """14 C^2 + 31 C in the place of 12 C^2 + 13 C, and two blocks less in stage 3."""
    one_for_one = archdsl.load(ABLATIONS, "mila_block_all", depths=list(DEPTHS)).cost().params
    assert one_for_one == BASELINE + 2 * SQUARES + 18 * LINES
    assert _params("mila_block_all") == one_for_one - 2 * (14 * 384**2 + 31 * 384)


def test_the_forget_gate_makes_it_a_scan() -> None:
    """The printed 4.8 G are those of the convention for scans; nothing else differs from the input gate."""
    gate, forget = (archdsl.load(ABLATIONS, f"mila_{name}") for name in ("input_gate", "forget_gate"))
    assert forget.cost().macs.attention == 0
    assert forget.cost().macs.linear == gate.cost().macs.linear
    assert scan9(forget) == sum(n * t * c * (9 * 32 + 1) for c, n, t in BLOCKS)
    assert scan9(gate) == 0


def test_only_what_the_name_says_differs() -> None:
    names = [
        f"mila_{name}"
        for name in (
            "baseline input_gate forget_gate shortcut no_norm one_head block_all block_sub ape lepe cpe rope"
        ).split()
    ]
    assert len({archdsl.load(ABLATIONS, name).digest() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("name", "reaches"), [("baseline", True), ("shortcut", True), ("forget_gate", False)]
)
def test_with_a_forget_gate_tokens_see_those_before_them(name: str, reaches: bool) -> None:
    """Of two images that differ in the last patch the first place has other features, or the same."""
    torch.manual_seed(0)
    model = archdsl.build(ABLATIONS, f"mila_{name}", overrides=SMALL).eval()
    images = torch.randn(1, 3, 64, 64).repeat(2, 1, 1, 1)
    images[1, :, -4:, -4:] += 1
    with torch.no_grad():
        first, second = model.feature_maps(images, [0])[0]
    assert (first[:, -1, -1] - second[:, -1, -1]).abs().max() > 1e-3
    assert ((first[:, 0, 0] - second[:, 0, 0]).abs().max() > 1e-7) == reaches


@pytest.mark.parametrize("size", [(64, 64), (50, 70)])
@pytest.mark.parametrize("name", ["mila_rope", "mila_ape", "mila_forget_gate"])
def test_other_sizes(name: str, size: tuple[int, int]) -> None:
    model = archdsl.build(ABLATIONS, name, overrides=SMALL).eval()
    with torch.no_grad():
        maps = model.forward_intermediates(torch.randn(1, 3, *size), intermediates_only=True)
    sides = [-(-side // 4) for side in size]
    for found in maps:
        assert found.shape[-2:] == tuple(sides)
        sides = [-(-side // 2) for side in sides]
