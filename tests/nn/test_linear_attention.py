"""Linear attention: MILA's module, its definition token by token, extra tokens, counts."""

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
from archdsl.nn.linear_attention import rotate
from archdsl.nn.stream import Stream
from archdsl.ops import ShapeError
from archdsl.ops.linear_attention import LinearAttention

GOLDEN = Path(__file__).parents[1] / "data" / "goldens" / "mila" / "mila_a_stage0_attention.safetensors"
REGISTERS = (Extra("registers", 2, "even"),)


def linear_attention(x: Feature, **options: object) -> Node:
    return make_node(LinearAttention.model_validate({"heads": 2} | options), x)


def test_reproduces_mila() -> None:
    golden = load_file(GOLDEN)
    module = module_of(linear_attention(Feature(16, (16, 16)), heads=1, rope=True, lepe=True))
    module.load_state_dict({k: v for k, v in golden.items() if not k.startswith("golden.")})
    y = module(Stream(golden["golden.input"], (16, 16))).x
    expected = golden["golden.output"]
    assert (y - expected).abs().max() <= 2e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rope": True, "lepe": True, "heads": 4},
        {"value": Word("project"), "qkv_bias": False},
        {"normalize": False, "rope": True},
        {"heads": 1, "key_dim": 12, "value": "project", "rope": True, "lepe": True},
    ],
)
@pytest.mark.parametrize("extras", [(), REGISTERS])
def test_counts_are_exact_and_everything_learns(
    options: dict[str, object], extras: tuple[Extra, ...]
) -> None:
    x = Feature(8, (3, 4), extras)
    node = linear_attention(x, **options)
    with torch.device("meta"):
        module = module_of(node)
        tokens = torch.empty(1, x.tokens, 8)
    assert sum(p.numel() for p in module.parameters()) == total_params([node])
    with FlopCounterMode(display=False) as counter:
        module(Stream(tokens, x.grid, extras))
    assert counter.get_total_flops() == 2 * total_macs([node]).total
    module = module_of(node)
    module(Stream(torch.randn(2, x.tokens, 8), x.grid, extras)).x.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("heads", [1, 2])
def test_agrees_with_the_sum_over_tokens(heads: int, normalize: bool) -> None:
    """Registers among the patches: they take part, unrotated, and get no local enhancement."""
    x = Feature(8, (2, 2), REGISTERS)
    options = {
        "heads": heads,
        "key_dim": 4,
        "value": "project",
        "normalize": normalize,
        "rope": True,
        "lepe": True,
    }
    module = module_of(linear_attention(x, **options)).double()
    s = Stream(torch.randn(1, 6, 8, dtype=torch.float64), x.grid, REGISTERS)
    keys = 4 * heads
    qk = functional.elu(module.get_submodule("qk")(s.x[0])) + 1
    q, k, v = qk[:, :keys], qk[:, keys:], module.get_submodule("v")(s.x[0])
    places = [(0, 0), None, (0, 1), None, (1, 0), (1, 1)]

    def turn(vector: torch.Tensor, place: tuple[int, int] | None) -> torch.Tensor:
        if place is None:
            return vector
        out = vector.clone()
        for pair in range(keys // 2):
            half, index = divmod(pair, keys // 4)
            angle = torch.tensor(place[half] * 10000 ** (-index / (keys // 4)), dtype=torch.float64)
            a, b = vector[2 * pair], vector[2 * pair + 1]
            out[2 * pair], out[2 * pair + 1] = (
                a * angle.cos() - b * angle.sin(),
                a * angle.sin() + b * angle.cos(),
            )
        return out

    turned_q = torch.stack([turn(a, p) for a, p in zip(q, places, strict=True)])
    turned_k = torch.stack([turn(a, p) for a, p in zip(k, places, strict=True)])
    expected = torch.zeros(6, 8, dtype=torch.float64)
    for head in range(heads):
        width, part = slice(head * 8 // heads, (head + 1) * 8 // heads), slice(4 * head, 4 * head + 4)
        for i in range(6):
            weights = [turned_q[i, part] @ turned_k[j, part] / 6 for j in range(6)]
            total = q[i, part] @ k[:, part].mean(0) + 1e-6 if normalize else 1
            expected[i, width] = sum(w * v[j, width] for j, w in enumerate(weights)) / total
    patches = torch.tensor([0, 2, 4, 5])
    local = module.get_submodule("lepe")(v[patches].T.reshape(1, 8, 2, 2)).flatten(2)[0].T
    expected[patches] += local
    torch.testing.assert_close(module(s).x[0], expected)


def test_rotation_keeps_lengths_and_starts_at_nothing() -> None:
    x = torch.randn(2, 5, 6, 3, 8)
    y = rotate(x)
    assert torch.equal(y[:, 0, 0], x[:, 0, 0])
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    assert rotate(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_compiles_and_takes_another_map(dtype: torch.dtype) -> None:
    module = module_of(linear_attention(Feature(8, (3, 4), REGISTERS), rope=True, lepe=True)).to(dtype)
    compiled = torch.compile(
        lambda t: module(Stream(t, (4, 5), REGISTERS)).x, fullgraph=True, backend="aot_eager"
    )
    t = torch.randn(2, 22, 8, dtype=dtype)
    torch.testing.assert_close(compiled(t), module(Stream(t, (4, 5), REGISTERS)).x)


@pytest.mark.parametrize(
    ("x", "options", "code", "text"),
    [
        (Feature(8, (4, 4)), {"heads": 3}, "E303", "3 does not divide 8"),
        (Feature(8, (4,)), {"rope": True}, "E304", "use rope = off here"),
        (Feature(8, (4,)), {"lepe": True}, "E304", "use lepe = off here"),
        (Feature(8, ()), {}, "E304", "attention needs tokens"),
        (Feature(6, (2, 2)), {"rope": True}, "E306", "6 channels of keys are no multiple of 4"),
        (Feature(6, (2, 2)), {"key_dim": 0}, "E310", "0 channels"),
    ],
)
def test_refuses_what_does_not_fit(x: Feature, options: dict[str, object], code: str, text: str) -> None:
    with pytest.raises(ShapeError) as error:
        linear_attention(x, **options)
    assert error.value.code == code
    assert text in (error.value.message, error.value.label, error.value.help)
