"""The scan's module: MambaVision's mixer, initial values, counts, extra tokens, precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature, Word
from archdsl.graph.node import Node, make_node, total_macs, total_params
from archdsl.nn.selective_scan import SelectiveScan as Module
from archdsl.nn.stream import Stream, run
from archdsl.ops import ShapeError
from archdsl.ops.selective_scan import SelectiveScan

GOLDENS = Path(__file__).parents[1] / "data" / "goldens" / "mambavision"


def scan(x: Feature, **options: object) -> Node:
    return make_node(SelectiveScan.model_validate(options), x)


@pytest.mark.usefixtures("scan_backend")
@pytest.mark.parametrize(
    ("name", "dim", "state"), [("unit_mv_mixer", 24, 8), ("unit_mv_mixer_even_conv", 40, 5)]
)
def test_reproduces_mambavisions_mixer(name: str, dim: int, state: int) -> None:
    """Its scan stands among a projection, two convolutions and a concatenation, written out here."""
    golden = load_file(GOLDENS / f"{name}.safetensors")
    module = module_of(scan(Feature(dim // 2, (15,)), state=state, dt_bias=Word("twice"), dim=dim))
    module.load_state_dict({k: v for k, v in golden.items() if k in module.state_dict()})

    def convolved(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        y = functional.conv1d(x.transpose(1, 2), weight, padding="same", groups=weight.shape[0])
        return functional.silu(y).transpose(1, 2)

    x, z = functional.linear(golden["golden.input"], golden["in_proj.weight"]).chunk(2, dim=-1)
    y = module(convolved(x, golden["conv1d_x.weight"]))
    y = torch.cat([y, convolved(z, golden["conv1d_z.weight"])], dim=-1)
    y = functional.linear(y, golden["out_proj.weight"])
    expected = golden["golden.output"]
    assert (y - expected).abs().max() <= 5e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("options", "rank"),
    [({}, 3), ({"dim": 20}, 2), ({"dt_rank": 5, "dim": 20}, 5), ({"state": 1, "dt_bias": "twice"}, 3)],
)
def test_counts_are_exact_and_everything_learns(options: dict[str, object], rank: int) -> None:
    x = Feature(33, (3, 4), (Extra("registers", 2, "even"),))
    node = scan(x, **options)
    assert isinstance(node.op, SelectiveScan)
    assert node.op.dt_rank == rank
    with torch.device("meta"):
        module = module_of(node)
        tokens = torch.empty(1, 14, 33)
    assert sum(p.numel() for p in module.parameters()) == total_params([node])
    with FlopCounterMode(display=False) as counter:
        module(tokens)
    macs = total_macs([node])
    assert counter.get_total_flops() == 2 * macs.total
    assert macs.scan == 14 * 33 * (4 * node.op.state + 2)
    module = module_of(node)
    run(module, Stream(torch.randn(2, 14, 33), x.grid, x.extras)).x.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_starts_as_mamba_does() -> None:
    torch.manual_seed(0)
    module = Module(dim=512, state=16, dt_rank=32)
    torch.testing.assert_close(module.A_log.exp()[7], torch.arange(1.0, 17.0))
    assert torch.equal(module.D, torch.ones(512))
    assert module.dt_proj.weight.abs().max() <= 32**-0.5
    step = functional.softplus(module.dt_proj.bias)
    assert 0.00099 <= step.min() <= 0.0015
    assert 0.07 <= step.max() <= 0.1001
    assert abs(step.log().mean() - torch.tensor(0.01).log()) < 0.2


def test_what_the_bias_counts_twice_means() -> None:
    once = Module(dim=6, state=2, dt_rank=2)
    twice = Module(dim=6, state=2, dt_rank=2, dt_bias="twice")
    twice.load_state_dict(once.state_dict())
    x = torch.randn(1, 5, 6)
    assert not torch.allclose(once(x), twice(x))
    once.dt_proj.bias.data.mul_(2)
    torch.testing.assert_close(once(x), twice(x))


def test_backward_direction_is_the_scan_of_the_turned_sequence() -> None:
    module = Module(dim=6, state=2, dt_rank=2)
    x = torch.randn(2, 5, 6)
    expected = module(x.flip(1)).flip(1)
    module.direction = "backward"
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("how", ["module", "autocast"])
def test_bfloat16_stays_close(how: str) -> None:
    module = Module(dim=8, state=4, dt_rank=2)
    x = torch.randn(2, 50, 8).bfloat16()
    exact = module(x.float())
    if how == "module":
        y = module.to(torch.bfloat16)(x)
    else:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = module(x)
    assert y.dtype == torch.bfloat16
    assert (y.float() - exact).abs().max() <= 0.03 * exact.abs().max()


def test_the_kernel_that_serves_has_a_name() -> None:
    module = Module(dim=8, state=4, dt_rank=2)
    assert module.kernel(torch.empty(1, 4, 8)) != ""
    module.backend = "reference"
    assert module.kernel(torch.empty(1, 4, 8)) == "reference"


def test_needs_tokens() -> None:
    with pytest.raises(ShapeError) as error:
        scan(Feature(8, ()))
    assert error.value.code == "E304"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"state": 0}, "greater than or equal to 1"),
        ({"state": 1.5}, "whole number"),
        ({"dt_bias": Word("thrice")}, "'once' or 'twice'"),
    ],
)
def test_refuses_wrong_values(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SelectiveScan.model_validate(options)
