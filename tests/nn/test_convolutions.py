"""Convolutions and patches against plain torch, on maps of every shape, with extra tokens beside them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, pad

from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature
from archdsl.graph.node import Node, make_node
from archdsl.nn.stream import Stream, from_map, run
from archdsl.ops import ShapeError, find

EXTRAS = (Extra("class_token", 1, "start"), Extra("registers", 3, "even"))


def node(name: str, x: Feature, **options: object) -> Node:
    op = find(name)
    assert op is not None
    return make_node(op.model_validate(options), x)


def stream(x: Feature, batch: int = 2) -> Stream:
    generator = torch.Generator().manual_seed(0)
    return Stream(torch.randn(batch, x.tokens, x.dim, generator=generator), x.grid, x.extras)


def image_of(s: Stream) -> Tensor:
    return s.to_map().contiguous()


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("extras", [(), EXTRAS])
def test_conv2d(kernel: int, stride: int, extras: tuple[Extra, ...]) -> None:
    x = Feature(4, (5, 8), extras)
    placed = node("conv2d", x, kernel=kernel, out=6, stride=stride)
    conv = module_of(placed)
    given = stream(x)
    before, behind = (kernel - 1) // 2, kernel // 2
    image = pad(image_of(given), (before, behind, before, behind))
    expected = conv2d(image, conv.conv.weight, conv.conv.bias, stride)
    y = run(conv, given)
    assert y.grid == placed.output.grid == tuple(expected.shape[-2:])
    assert y.grid == (-(-5 // stride), -(-8 // stride))
    torch.testing.assert_close(image_of(y), expected)
    linear = conv.extras
    for ours, theirs in zip(y.take_apart()[1], given.take_apart()[1], strict=True):
        torch.testing.assert_close(ours, linear(theirs))


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_an_odd_kernel_pads_as_torch_does(kernel: int) -> None:
    x = Feature(4, (6, 5))
    conv = module_of(node("conv2d", x, kernel=kernel, depthwise=True, bias=False))
    expected = conv2d(image_of(stream(x)), conv.conv.weight, padding=kernel // 2, groups=4)
    torch.testing.assert_close(image_of(run(conv, stream(x))), expected)


def test_extras_pass_where_the_width_stays() -> None:
    x = Feature(4, (4, 4), EXTRAS)
    conv = module_of(node("conv2d", x, kernel=3, stride=2))
    assert conv.extras is None
    given, y = stream(x), run(conv, stream(x))
    for ours, theirs in zip(y.take_apart()[1], given.take_apart()[1], strict=True):
        assert torch.equal(ours, theirs)


def test_a_convolution_of_a_fresh_map_copies_nothing() -> None:
    image = torch.randn(2, 4, 6, 6)
    s = from_map(image)
    assert s.to_map().data_ptr() == image.data_ptr()
    assert Stream(s.x.contiguous(), s.grid).to_map().is_contiguous(memory_format=torch.channels_last)


def test_regions_stay_with_the_grid() -> None:
    x = Feature(4, (4, 4))
    regions = torch.arange(16)[None]
    s = stream(x)._replace(regions=regions)
    assert run(module_of(node("conv2d", x, kernel=3)), s).regions is regions
    assert run(module_of(node("conv2d", x, kernel=3, stride=2)), s).regions is None


def test_a_depthwise_convolution_may_multiply_channels() -> None:
    x = Feature(4, (4, 4))
    placed = node("conv2d", x, kernel=3, out=8, depthwise=True)
    assert module_of(placed).conv.weight.shape == (8, 1, 3, 3)
    with pytest.raises(ShapeError) as error:
        node("conv2d", x, kernel=3, out=6, depthwise=True)
    assert (error.value.code, error.value.parameter) == ("E306", "out")
    assert error.value.label == "4 does not divide 6"


@pytest.mark.parametrize(
    ("name", "options", "x", "code", "parameter"),
    [
        ("conv2d", {"kernel": 3}, Feature(4, (16,)), "E304", None),
        ("conv2d", {"kernel": 3}, Feature(4, ()), "E304", None),
        ("conv2d", {"kernel": 3, "stride": 2}, Feature(4, (1, 4)), "E308", "stride"),
        ("conv2d", {"kernel": 3, "out": 2_000_000}, Feature(4, (4, 4)), "E310", "out"),
        ("patch_embed", {"patch": 4, "out": 8}, Feature(3, (3, 9)), "E308", "patch"),
        ("patch_embed", {"patch": 4, "out": 8}, Feature(3, (9,)), "E304", None),
        ("conv1d", {"kernel": 3}, Feature(3, ()), "E304", None),
    ],
)
def test_what_does_not_fit(
    name: str, options: dict[str, object], x: Feature, code: str, parameter: str | None
) -> None:
    with pytest.raises(ShapeError) as error:
        node(name, x, **options)
    assert (error.value.code, error.value.parameter) == (code, parameter)
    assert error.value.label
    assert error.value.help


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("causal", [True, False])
def test_conv1d(kernel: int, causal: bool) -> None:
    x = Feature(6, (2, 4), EXTRAS)
    conv = module_of(node("conv1d", x, kernel=kernel, causal=causal))
    given = stream(x).x
    front = kernel - 1 if causal else (kernel - 1) // 2
    padded = pad(given.transpose(1, 2), (front, kernel - 1 - front))
    expected = conv1d(padded, conv.weight, conv.bias, groups=6).transpose(1, 2)
    torch.testing.assert_close(conv(given), expected)
    assert conv(given).is_contiguous()


def test_a_causal_convolution_sees_only_what_was() -> None:
    x = Feature(3, (9,))
    conv = module_of(node("conv1d", x, kernel=4, causal=True))
    given = stream(x).x
    changed = given.clone()
    changed[:, 5] += 1
    differs = (conv(given) != conv(changed)).any(-1).any(0)
    assert differs.tolist() == [False] * 5 + [True] * 4
    torch.testing.assert_close(conv(changed)[:, 5] - conv(given)[:, 5], conv.weight[:, 0, 3].expand(2, 3))


@pytest.mark.parametrize("size", [(16, 16), (19, 10), (4, 7)])
@pytest.mark.parametrize("stride", [None, 2, 6])
def test_patch_embed(size: tuple[int, int], stride: int | None) -> None:
    x = Feature(3, size)
    placed = node("patch_embed", x, patch=4, out=8, stride=stride)
    embed = module_of(placed)
    image = torch.randn(2, 3, *size)
    expected = conv2d(image, embed.proj.weight, embed.proj.bias, stride or 4)
    y = run(embed, from_map(image))
    assert y.grid == placed.output.grid == tuple(expected.shape[-2:])
    torch.testing.assert_close(y.x, expected.flatten(2).transpose(1, 2))


def test_patch_embed_carries_extras() -> None:
    x = Feature(4, (4, 4), EXTRAS)
    embed = module_of(node("patch_embed", x, patch=2, out=6))
    y = run(embed, stream(x))
    assert isinstance(embed.extras, nn.Linear)
    for ours, theirs in zip(y.take_apart()[1], stream(x).take_apart()[1], strict=True):
        torch.testing.assert_close(ours, embed.extras(theirs))


@pytest.mark.parametrize("extras", [(), EXTRAS])
@pytest.mark.parametrize(("grid", "padded"), [((5, 8), (6, 9)), ((6, 3), (6, 3)), ((1, 7), (3, 9))])
def test_pad(grid: tuple[int, int], padded: tuple[int, int], extras: tuple[Extra, ...]) -> None:
    x = Feature(4, grid, extras)
    placed = node("pad", x, multiple=3)
    assert placed.output == Feature(4, padded, extras)
    s = stream(x)
    y = run(module_of(placed), s)
    expected = pad(image_of(s), (0, padded[1] - grid[1], 0, padded[0] - grid[0]))
    assert torch.equal(image_of(y), expected)
    for before, after in zip(s.take_apart()[1], y.take_apart()[1], strict=True):
        assert torch.equal(before, after)


def test_pad_looks_at_the_map_it_gets() -> None:
    """Built where nothing is missing, it pads a map of another size."""
    module = module_of(node("pad", Feature(3, (8, 8)), multiple=4))
    assert run(module, from_map(torch.ones(1, 3, 5, 8))).grid == (8, 8)
    assert run(module, from_map(torch.ones(1, 3, 4, 12))).grid == (4, 12)


def test_pad_needs_a_map() -> None:
    with pytest.raises(ShapeError) as caught:
        node("pad", Feature(4, (6,)), multiple=2)
    assert caught.value.code == "E304"
