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
from archdsl.kernels.selective_scan import LADDER
from archdsl.nn.linear_attention import LinearAttention as Module
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
        {"causal": True, "rope": True, "lepe": True},
        {"kernel": Word("relu"), "input_gate": True, "gate_rank": 3, "heads": 4},
        {"kernel": Word("identity"), "normalize": False, "shortcut": True, "dim": 40},
        {"causal": True, "input_gate": True, "shortcut": True, "normalize": False},
        {"forget_gate": True, "key_dim": 3, "value": "project"},
        {"forget_gate": True, "input_gate": True, "shortcut": True, "rope": True, "lepe": True},
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


@pytest.mark.parametrize(
    ("options", "params", "scan"),
    [
        ({"causal": True}, 0, 2 * 16 * 6 + 16),
        ({"causal": True, "normalize": False, "shortcut": True}, 24, 24 * (2 * 4 + 1)),
        ({"input_gate": True, "gate_rank": 5}, 24 * 5 + 5 * 24 + 24, 0),
        ({"causal": True, "input_gate": True}, 24 * 2 * 2 + 24, 24 * (2 * 4 + 1) + 16),
        ({"forget_gate": True, "dim": 50}, 24 * 4 * 2 + 24 + 24 * 4, 24 * 4 * 4 + 16),
        (
            {"forget_gate": True, "input_gate": True, "shortcut": True},
            96 + 24 + 96 + 24,
            24 * (4 * 4 + 2) + 16,
        ),
    ],
)
def test_what_gates_and_sums_along_the_sequence_cost(
    options: dict[str, object], params: int, scan: int
) -> None:
    """Beside q and k (24 to 4 heads of 4 and biases); scans are counted for each of 10 tokens."""
    x = Feature(24, (10,))
    node = linear_attention(x, heads=4, key_dim=4, **options)
    assert total_params([node]) == 24 * 32 + 32 + params
    assert total_macs([node]).scan == 10 * scan


def test_the_gates_rank_is_a_sixteenth_of_the_stages_width() -> None:
    def rank(**options: object) -> object:
        op = linear_attention(Feature(40, (10,)), **options).op
        assert isinstance(op, LinearAttention)
        assert op.dim is None
        return op.gate_rank

    assert rank(input_gate=True) == 3
    assert rank(forget_gate=True, dim=20) == 2
    assert rank(forget_gate=True, dim=20, gate_rank=7) == 7
    assert rank(gate_rank=7) is None


def test_a_forget_gate_makes_it_causal() -> None:
    x = Feature(8, (4,))
    node = linear_attention(x, forget_gate=True)
    assert node == linear_attention(x, forget_gate=True, causal=True)
    module = module_of(node)
    t = torch.randn(1, 4, 8)
    y = module(Stream(t, (4,))).x
    t[:, 2] += 1
    changed = module(Stream(t, (4,))).x
    assert torch.equal(y[:, :2], changed[:, :2])
    assert (y[:, 2:] != changed[:, 2:]).any(-1).all()


def test_starts_as_mamba_does() -> None:
    module = module_of(
        linear_attention(Feature(512, (4,)), heads=4, key_dim=16, forget_gate=True, shortcut=True)
    )
    assert isinstance(module, Module)
    assert module.A_log is not None
    assert module.D is not None
    assert module.gate_out is not None
    torch.testing.assert_close(module.A_log.exp()[7], torch.arange(1.0, 17.0))
    assert torch.equal(module.D, torch.ones(512))
    step = functional.softplus(module.gate_out.bias)
    assert 0.00099 <= step.min() <= 0.0015
    assert 0.07 <= step.max() <= 0.1001


def test_the_kernel_that_serves_has_a_name() -> None:
    x, t = Feature(8, (4,)), torch.empty(3, 4, 8)
    over_all, along = module_of(linear_attention(x)), module_of(linear_attention(x, causal=True))
    forgetting = module_of(linear_attention(x, forget_gate=True))
    assert isinstance(over_all, Module)
    assert isinstance(along, Module)
    assert isinstance(forgetting, Module)
    assert over_all.kernel(t) is None
    assert along.kernel(t) in {c.name for c in LADDER.candidates}
    assert along.call(t.bfloat16())[:6] == ("cpu", torch.bfloat16, 3, 4, 4, 4)
    assert forgetting.call(t.bfloat16())[:6] == ("cpu", torch.float32, 3, 4, 4, 4)
    along.backend = "abacus"
    with pytest.raises(ValueError, match="no kernel `abacus`"):
        along.kernel(t)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("heads", [1, 2])
def test_agrees_with_the_sum_over_tokens(heads: int, normalize: bool, causal: bool) -> None:
    """Registers among the patches: they take part, unrotated, and get no local enhancement."""
    x = Feature(8, (2, 2), REGISTERS)
    options = {
        "heads": heads,
        "key_dim": 4,
        "value": "project",
        "normalize": normalize,
        "rope": True,
        "lepe": True,
        "causal": causal,
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
            seen, divisor = (i + 1, 1) if causal else (6, 6)
            weights = [turned_q[i, part] @ turned_k[j, part] / divisor for j in range(seen)]
            total = q[i, part] @ k[:seen, part].sum(0) / divisor + 1e-6 if normalize else 1
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
@pytest.mark.parametrize(
    "options", [{}, {"forget_gate": True}, {"causal": True, "input_gate": True, "shortcut": True}], ids=str
)
def test_compiles_and_takes_another_map(options: dict[str, object], dtype: torch.dtype) -> None:
    x = Feature(8, (3, 4), REGISTERS)
    module = module_of(linear_attention(x, rope=True, lepe=True, **options)).to(dtype)
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
        (Feature(8, ()), {"forget_gate": True}, "E304", "attention needs tokens"),
        (Feature(8, (4,)), {"rope": True, "causal": True}, "E304", "use rope = off here"),
    ],
)
def test_refuses_what_does_not_fit(x: Feature, options: dict[str, object], code: str, text: str) -> None:
    with pytest.raises(ShapeError) as error:
        linear_attention(x, **options)
    assert error.value.code == code
    assert text in (error.value.message, error.value.label, error.value.help)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kernel": Word("gelu")}, "'elu', 'relu' or 'identity'"),
        ({"gate_rank": 0}, "greater than or equal to 1"),
        ({"forget_gate": 1}, "expected on or off"),
    ],
)
def test_refuses_wrong_values(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        LinearAttention.model_validate({"heads": 2} | options)
