"""Attention: MambaVision's module, masks, relative positions, extra tokens, counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature
from archdsl.graph.node import Node, make_node, total_macs, total_params
from archdsl.nn.attention import resized
from archdsl.nn.stream import Stream
from archdsl.ops import ShapeError
from archdsl.ops.attention import Attention

GOLDENS = Path(__file__).parents[1] / "data" / "goldens" / "mambavision"
REGISTERS = (Extra("registers", 2, "even"),)


def attention(x: Feature, **options: object) -> Node:
    return make_node(Attention.model_validate({"heads": 2} | options), x)


def test_reproduces_mambavision() -> None:
    golden = load_file(GOLDENS / "unit_mv_attention.safetensors")
    module = module_of(attention(Feature(24, (3, 5)), heads=4))
    module.load_state_dict({k: v for k, v in golden.items() if not k.startswith("golden.")})
    y = module(Stream(golden["golden.input"], (3, 5))).x
    expected = golden["golden.output"]
    assert (y - expected).abs().max() <= 5e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal": True},
        {"position": "relative"},
        {"position": "relative", "causal": True},
        {"qkv_bias": False, "qk_norm": True},
    ],
)
@pytest.mark.parametrize("extras", [(), REGISTERS])
def test_counts_are_exact(options: dict[str, object], extras: tuple[Extra, ...]) -> None:
    x = Feature(8, (3, 4), extras)
    node = attention(x, **options)
    with torch.device("meta"):
        module = module_of(node)
        tokens = torch.empty(1, x.tokens, 8)
    assert sum(p.numel() for p in module.parameters()) == total_params([node])
    with FlopCounterMode(display=False) as counter:
        module(Stream(tokens, x.grid, extras))
    assert counter.get_total_flops() == 2 * total_macs([node]).total


def naive(module: nn.Module, s: Stream, bias: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Attention with (heads, T, T) added where `seen` (B, T, T)."""
    batch, tokens, dim = s.x.shape
    qkv = module.get_submodule("qkv")(s.x).reshape(batch, tokens, 3, 2, dim // 2)
    out = torch.empty(batch, tokens, 2, dim // 2)
    for head in range(2):
        q, k, v = (qkv[:, :, i, head] for i in range(3))
        scores = q @ k.transpose(1, 2) / (dim // 2) ** 0.5 + bias[head]
        out[:, :, head] = scores.masked_fill(~seen, float("-inf")).softmax(-1) @ v
    result: torch.Tensor = module.get_submodule("proj")(out.reshape(batch, tokens, dim))
    return result


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("windows", [0, 1, 3])
def test_agrees_with_the_definition(causal: bool, relative: bool, windows: int) -> None:
    grid = (3, 2)
    x = Feature(8, grid, REGISTERS)
    module = module_of(attention(x, causal=causal, position="relative" if relative else None))
    regions = None
    seen = torch.ones(6, 8, 8, dtype=torch.bool)
    if windows:
        regions = torch.randint(-1, 2, (windows, 8))
        rows, columns = regions[:, :, None], regions[:, None, :]
        seen = ((rows == columns) | (rows == -1) | (columns == -1)).repeat(6 // windows, 1, 1)
    if causal:
        seen = seen & torch.ones(8, 8, dtype=torch.bool).tril()
    bias = torch.zeros(2, 8, 8)
    if relative:
        table = module.get_parameter("relative_position").detach()
        places: list[tuple[int, int] | None] = [(0, 0), (0, 1), None, (1, 0), (1, 1), None, (2, 0), (2, 1)]
        for i, a in enumerate(places):
            for j, b in enumerate(places):
                if a and b:
                    bias[:, i, j] = table[(a[0] - b[0] + 2) * 3 + a[1] - b[1] + 1]
    s = Stream(torch.randn(6, 8, 8), grid, REGISTERS, regions)
    torch.testing.assert_close(module(s).x, naive(module, s, bias, seen), atol=1e-5, rtol=1e-5)


def test_the_table_of_positions_follows_another_map() -> None:
    module = module_of(attention(Feature(8, (4, 4)), position="relative"))
    assert module(Stream(torch.randn(1, 30, 8), (5, 6))).x.shape == (1, 30, 8)
    constant = torch.full((49, 2), 3.0)
    torch.testing.assert_close(resized(constant, (4, 4), (6, 3)), torch.full((55, 2), 3.0))
    table = torch.randn(49, 2)
    torch.testing.assert_close(resized(table, (4, 4), (4, 4)), table)


def test_every_parameter_learns() -> None:
    module = module_of(attention(Feature(8, (3, 3), REGISTERS), position="relative"))
    module(Stream(torch.randn(2, 11, 8), (3, 3), REGISTERS)).x.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_bfloat16() -> None:
    x = Feature(8, (4, 4))
    module = module_of(attention(x, position="relative")).to(torch.bfloat16)
    y = module(Stream(torch.randn(1, 16, 8, dtype=torch.bfloat16), (4, 4)))
    assert y.x.dtype == torch.bfloat16


def test_indices_survive_a_build_on_the_meta_device() -> None:
    node = attention(Feature(8, (3, 3), REGISTERS), position="relative")
    with torch.device("meta"):
        module = module_of(node)
    module.to_empty(device="cpu")
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    assert torch.equal(module.get_buffer("index"), module_of(node).get_buffer("index"))


@pytest.mark.parametrize(
    ("x", "options", "code", "text"),
    [
        (Feature(64, (4, 4)), {"heads": 3}, "E303", "3 does not divide 64"),
        (Feature(64, (4, 4)), {"heads": 3}, "E303", "use 2, 4, 8 or 16"),
        (Feature(64, (4,)), {"position": "relative"}, "E304", "relative positions need a map"),
        (Feature(64, ()), {}, "E304", "attention needs tokens"),
    ],
)
def test_refuses_what_does_not_fit(x: Feature, options: dict[str, object], code: str, text: str) -> None:
    with pytest.raises(ShapeError) as error:
        attention(x, **options)
    assert error.value.code == code
    assert text in (error.value.message, error.value.label, error.value.help)
