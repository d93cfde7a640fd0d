"""Mixers through torch.export with any batch, in bfloat16 autocast, and with no image at all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature, Word
from archdsl.graph.node import Build, Node, make_node
from archdsl.nn.stream import Stream, run
from archdsl.ops import Op
from archdsl.ops.attention import Attention
from archdsl.ops.linear_attention import LinearAttention
from archdsl.ops.routed import Routed
from archdsl.ops.selective_scan import SelectiveScan
from archdsl.ops.windowed import Windowed

X = Feature(8, (4, 6), (Extra("registers", 2, "even"),))


def behind(op: Op) -> Build:
    return lambda f: make_node(op, f)


def mixers() -> dict[str, Node]:
    relative = Attention.model_validate({"heads": 2, "position": "relative"})
    scan = SelectiveScan(state=2, dt_rank=1)
    return {
        "attention": make_node(relative, X),
        "linear_attention": make_node(LinearAttention(heads=2, rope=True, lepe=True), X),
        "causal_linear_attention": make_node(LinearAttention(heads=2, forget_gate=True, shortcut=True), X),
        "windowed": make_node(Windowed(window=(2, 3), shift=1, extras="copy"), X, [behind(relative)]),
        "padded": make_node(Windowed(window=(5, 4), pad=True), X, [behind(Attention(heads=4))]),
        "routed": make_node(Routed.model_validate({"order": Word("cross")}), X, [behind(scan)]),
    }


class OnTokens(nn.Module):
    """A mixer as a function of the tokens alone."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.mixer = module_of(node)

    def forward(self, x: Tensor) -> Tensor:
        return run(self.mixer, Stream(x, X.grid, X.extras)).x


@pytest.mark.parametrize("name", mixers())
def test_exports_with_any_batch(name: str) -> None:
    module = OnTokens(mixers()[name]).eval()
    x = torch.randn(2, X.tokens, 8)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("b")},))
    other = torch.randn(5, X.tokens, 8)
    torch.testing.assert_close(program.module()(other), module(other))


@pytest.mark.parametrize("name", mixers())
def test_no_image_gives_no_tokens(name: str) -> None:
    assert OnTokens(mixers()[name])(torch.randn(0, X.tokens, 8)).shape == (0, X.tokens, 8)


@pytest.mark.parametrize("name", mixers())
def test_autocast_stays_close(name: str) -> None:
    module = OnTokens(mixers()[name])
    x = torch.randn(2, X.tokens, 8)
    exact = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    assert (y - exact).abs().max() <= 0.05 * exact.abs().max()
