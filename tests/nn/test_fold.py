"""Folding against plain loops, on maps of every shape, with extra tokens beside them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import archdsl
from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature
from archdsl.graph.node import make_node, total_params
from archdsl.nn.stream import Stream, from_map, run
from archdsl.ops import ShapeError
from archdsl.ops.fold import Fold

EXTRAS = (Extra("class_token", 1, "start"), Extra("registers", 3, "even"))


def _slowly(image: Tensor, k: int) -> Tensor:
    """(B, C, H, W) folded, one number after the other: rows of a square first, then its columns."""
    batch, channels, height, width = image.shape
    out = torch.zeros(batch, k * k * channels, -(-height // k), -(-width // k))
    for row in range(height):
        for column in range(width):
            first = (column % k * k + row % k) * channels
            out[:, first : first + channels, row // k, column // k] = image[:, :, row, column]
    return out


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("grid", [(4, 6), (5, 6), (6, 5), (1, 7)])
def test_a_square_becomes_a_place(k: int, grid: tuple[int, int]) -> None:
    module = module_of(make_node(Fold(side=k), Feature(5, grid)))
    image = torch.randn(2, 5, *grid)
    assert torch.equal(run(module, from_map(image)).to_map(), _slowly(image, k))


def test_the_order_of_the_four_places() -> None:
    image = torch.tensor([[[[0.0, 2.0], [1.0, 3.0]]]])
    folded = run(module_of(make_node(Fold(side=2), Feature(1, (2, 2)))), from_map(image))
    assert folded.x.flatten().tolist() == [0, 1, 2, 3]


def test_extra_tokens_go_through_a_linear_map() -> None:
    x = Feature(4, (5, 3), EXTRAS)
    node = make_node(Fold(side=2), x)
    module = module_of(node)
    assert total_params([node]) == 4 * 16 + 16
    tokens = torch.randn(2, x.tokens, 4)
    patches, extras = Stream(tokens, x.grid, EXTRAS).take_apart()
    y = run(module, Stream(tokens, x.grid, EXTRAS))
    assert y.grid == (3, 2)
    folded, carried = y.take_apart()
    image = patches.reshape(2, 5, 3, 4).permute(0, 3, 1, 2)
    assert torch.equal(folded, _slowly(image, 2).flatten(2).transpose(1, 2))
    linear = module.get_submodule("extras")
    assert all(torch.equal(a, linear(b)) for a, b in zip(carried, extras, strict=True))


def test_what_cannot_be_folded() -> None:
    with pytest.raises(ShapeError, match="needs a map"):
        make_node(Fold(side=2), Feature(4, (6,)))
    with pytest.raises(ShapeError, match="out of bounds"):
        make_node(Fold(side=1000), Feature(4, (6, 6)))


def test_nothing_is_folded_by_one() -> None:
    down = "layer_norm -> fold({}) -> linear(24)"
    kept = archdsl.load("tiny", overrides={"s2.downsample": down.format(1), "s2.dim": 24})
    plain = archdsl.load("tiny", overrides={"s2.downsample": "layer_norm -> linear(24)", "s2.dim": 24})
    assert kept.stages[1].blocks[0].input.grid == (8, 8)
    assert kept.digest() == plain.digest()
