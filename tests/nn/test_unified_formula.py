"""MILA's unified formula: linear attention token by token, and with gates the selective scan itself."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import archdsl
from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature, Word
from archdsl.graph.node import make_node, total_macs, total_params
from archdsl.nn.linear_attention import LinearAttention as Attention
from archdsl.nn.selective_scan import SelectiveScan as Scan
from archdsl.nn.stream import Stream, run
from archdsl.ops.linear_attention import LinearAttention
from archdsl.ops.selective_scan import SelectiveScan

SCAN = {
    "heads": 1,
    "value": Word("input"),
    "kernel": Word("identity"),
    "qkv_bias": False,
    "causal": True,
    "input_gate": True,
    "forget_gate": True,
    "shortcut": True,
    "normalize": False,
}
"""The selective scan as linear attention; its state is `key_dim`."""


def attention(x: Feature, **options: object) -> Attention:
    module = module_of(make_node(LinearAttention.model_validate(options), x))
    assert isinstance(module, Attention)
    return module


def scan(x: Feature, **options: object) -> Scan:
    module = module_of(make_node(SelectiveScan.model_validate(options), x))
    assert isinstance(module, Scan)
    return module


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def as_scan(w: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of linear attention with one head under the names of the selective scan; gradients as well."""
    q, k = w["qk.weight"].chunk(2)
    return {
        "x_proj.weight": torch.cat([w["gate_in.weight"], k, q]),
        "dt_proj.weight": w["gate_out.weight"],
        "dt_proj.bias": w["gate_out.bias"],
        "A_log": w["A_log"],
        "D": w["D"],
    }


def pair(x: Feature, state: int, dtype: torch.dtype = torch.float64) -> tuple[Attention, Scan]:
    """Linear attention with all of the scan's distinctions, and a scan of the same parameters."""
    attended = attention(x, **SCAN, key_dim=state).to(dtype)
    for parameter in attended.parameters():
        nn.init.normal_(parameter, std=0.7)
    scanned = scan(x, state=state).to(dtype)
    scanned.load_state_dict(as_scan(values(attended)))
    return attended, scanned


def phi(kernel: str, x: Tensor) -> Tensor:
    return {"elu": functional.elu(x) + 1, "relu": x.clamp(min=0), "identity": x}[kernel]


def one_after_the_other(
    w: dict[str, Tensor], x_tc: Tensor, heads: int, kernel: str, causal: bool, gates: str, normalize: bool
) -> Tensor:
    """The equations of the paper for one image (T, C): numbers, one token, head and channel at a time.

    `gates` has `i` for the input gate and `f` for the forget gate; D stands in `w` or doesn't.
    """
    tokens, channels = x_tc.shape
    width, keys = channels // heads, w["qk.weight"].shape[0] // 2 // heads
    y_tc = torch.zeros_like(x_tc)
    for head in range(heads):
        q_rows = slice(head * keys, (head + 1) * keys)
        k_rows = slice((heads + head) * keys, (heads + head + 1) * keys)
        qs, ks, vs, steps = [], [], [], []
        for x in x_tc:
            qk = w["qk.weight"] @ x + w.get("qk.bias", torch.zeros(1, dtype=x.dtype))
            qs.append(phi(kernel, qk[q_rows]))
            ks.append(phi(kernel, qk[k_rows]))
            vs.append(w["v.weight"] @ x + w["v.bias"] if "v.weight" in w else x)
            if gates:
                low = w["gate_in.weight"] @ x
                steps.append((1 + (w["gate_out.weight"] @ low + w["gate_out.bias"]).exp()).log())
        for channel in range(head * width, (head + 1) * width):
            S, Z = torch.zeros(keys, dtype=x_tc.dtype), torch.zeros(keys, dtype=x_tc.dtype)
            seen = []
            for i in range(tokens):
                if "f" in gates:
                    S = torch.exp(steps[i][channel] * -w["A_log"][channel].exp()) * S
                gated = vs[i][channel] * (steps[i][channel] if "i" in gates else 1)
                S = S + ks[i] * gated
                Z = Z + ks[i]
                seen.append((S, Z))
            for i in range(tokens):
                S, Z = seen[i] if causal else (seen[-1][0] / tokens, seen[-1][1] / tokens)
                y = qs[i] @ S / (qs[i] @ Z + 1e-6 if normalize else 1)
                y_tc[i, channel] = y + (w["D"][channel] * x_tc[i, channel] if "D" in w else 0)
    return y_tc


@pytest.mark.parametrize(
    ("gates", "causal"),
    [(g, c) for g, c in product(("", "i", "f", "if"), (True, False)) if c or "f" not in g],
)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize(("heads", "kernel"), [(1, "relu"), (2, "elu"), (3, "identity")])
def test_the_equations_one_token_after_the_other(
    gates: str, causal: bool, normalize: bool, heads: int, shortcut: bool, kernel: str
) -> None:
    torch.manual_seed(heads)
    module = attention(
        Feature(6, (5,)),
        heads=heads,
        key_dim=3,
        value=Word("project" if shortcut else "input"),
        normalize=normalize,
        kernel=Word(kernel),
        causal=causal,
        input_gate="i" in gates,
        forget_gate="f" in gates,
        shortcut=shortcut,
    ).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    y = run(module, Stream(x, (5,))).x
    for image in range(2):
        expected = one_after_the_other(values(module), x[image], heads, kernel, causal, gates, normalize)
        torch.testing.assert_close(y[image], expected, rtol=1e-10, atol=1e-12)


TOLERANCES = {torch.float64: (1e-12, 1e-12), torch.float32: (1e-5, 1e-5)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("width", "state", "length", "batch"),
    [(1, 1, 1, 1), (6, 16, 9, 2), (33, 4, 20, 1), (8, 3, 1, 3), (40, 1, 64, 2)],
)
def test_it_is_the_selective_scan(
    width: int, state: int, length: int, batch: int, dtype: torch.dtype
) -> None:
    """Outputs, and the gradients of every parameter and of the input."""
    torch.manual_seed(width)
    attended, scanned = pair(Feature(width, (length,)), state, dtype)
    rtol, atol = TOLERANCES[dtype]
    x = torch.randn(batch, length, width, dtype=dtype)
    dy = torch.randn_like(x)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, expected = run(attended, Stream(ours, (length,))).x, scanned(theirs)
    torch.testing.assert_close(y, expected, rtol=rtol, atol=atol)
    y.backward(dy)
    expected.backward(dy)
    pairs = {"x": (ours.grad, theirs.grad)}
    mapped = as_scan({n: p.grad for n, p in attended.named_parameters() if p.grad is not None})
    for name, parameter in scanned.named_parameters():
        pairs[name] = mapped[name], parameter.grad
    for name, (found, wanted) in pairs.items():
        assert found is not None, name
        assert wanted is not None, name
        scale = max(1.0, float(wanted.abs().max()))
        torch.testing.assert_close(found / scale, wanted / scale, rtol=rtol, atol=atol, msg=name)


def test_on_a_map_with_registers_and_backwards() -> None:
    """Registers take part where they stand; routes turn the sequence round for both alike."""
    x = Feature(8, (3, 4), (Extra("registers", 3, "even"),))
    attended, scanned = pair(x, 5)
    t = torch.randn(2, x.tokens, 8, dtype=torch.float64)
    y = run(attended, Stream(t, x.grid, x.extras)).x
    torch.testing.assert_close(y, scanned(t), rtol=1e-12, atol=1e-12)
    scanned.direction = "backward"
    turned = run(attended, Stream(t.flip(1), (x.tokens,))).x.flip(1)
    torch.testing.assert_close(turned, scanned(t), rtol=1e-12, atol=1e-12)


def test_it_costs_the_same() -> None:
    x = Feature(48, (7, 5))
    attended = make_node(LinearAttention.model_validate({**SCAN, "key_dim": 16}), x)
    scanned = make_node(SelectiveScan(state=16), x)
    assert total_params([attended]) == total_params([scanned])
    assert total_macs([attended]) == total_macs([scanned])


@pytest.mark.parametrize(
    "distinction",
    [
        {"input_gate": False},
        {"forget_gate": False},
        {"shortcut": False},
        {"normalize": True},
        {"kernel": Word("elu")},
        {"causal": False, "forget_gate": False},
    ],
    ids=" ".join,
)
def test_every_distinction_counts(distinction: dict[str, object]) -> None:
    """One flag away from the scan, with all parameters that are left: another function."""
    torch.manual_seed(0)
    x = Feature(8, (6,))
    attended, scanned = pair(x, 4)
    other = attention(x, **{**SCAN, "key_dim": 4, **distinction}).double()
    kept = attended.state_dict()
    other.load_state_dict({name: kept[name] for name in other.state_dict()})
    t = torch.randn(2, 6, 8, dtype=torch.float64)
    difference = run(other, Stream(t, (6,))).x - scanned(t)
    assert difference.abs().max() > 0.01


def test_heads_are_groups_of_channels_with_q_and_k_of_their_own() -> None:
    torch.manual_seed(0)
    x = Feature(8, (6,))
    attended, scanned = pair(x, 4)
    two = attention(x, **{**SCAN, "heads": 2}, key_dim=4).double()
    q, k = attended.qk.weight.detach().chunk(2)
    weights = attended.state_dict()
    t = torch.randn(2, 6, 8, dtype=torch.float64)
    expected = scanned(t)
    two.load_state_dict(weights | {"qk.weight": torch.cat([q, q, k, k])})
    torch.testing.assert_close(run(two, Stream(t, (6,))).x, expected, rtol=1e-12, atol=1e-12)
    two.load_state_dict(weights | {"qk.weight": torch.cat([q, q.flip(1), k, k])})
    difference = (run(two, Stream(t, (6,))).x - expected).abs()
    assert difference[..., :4].max() < 1e-12
    assert difference[..., 4:].max() > 0.01


BLOCKS = """
mixer around(core, dim, conv = 4) = gated(conv1d(conv, causal) -> silu -> core)
mixer unified(state) =
  linear_attention(1, state, kernel = identity, qkv_bias = off, normalize = off,
                   causal, input_gate, forget_gate, shortcut)
arch mamba_block(core = selective_scan(4)) {
  stem = patch_embed(4, 12)
  stage s1 { dim = 12; blocks = 2 x whole(around(core)) }
  head = pool(mean) -> linear(classes)
}
block whole(inner) { residual layer_norm -> inner }
arch with_scan = mamba_block
arch with_attention = mamba_block(core = unified(4))
"""


def test_the_block_design_is_what_stands_around(tmp_path: Path) -> None:
    """The sixth distinction: the same block of Mamba around either core is the same network."""
    spec = tmp_path / "blocks.arch"
    spec.write_text(BLOCKS)
    options = {"image": 16, "classes": 5}
    torch.manual_seed(3)
    attended = archdsl.build(spec, "with_attention", **options).double().eval()
    scanned = archdsl.build(spec, "with_scan", **options).double().eval()
    cores = [(n, m) for n, m in attended.named_modules() if isinstance(m, Attention)]
    weights = dict(attended.state_dict())
    for name, core in cores:
        for key in core.state_dict():
            del weights[f"{name}.{key}"]
        weights |= {f"{name}.{key}": value for key, value in as_scan(values(core)).items()}
    scanned.load_state_dict(weights)
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    assert len(cores) == 2
    torch.testing.assert_close(attended(images), scanned(images), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 0.01)])
def test_a_forget_gate_alone_learns_as_exactly(dtype: torch.dtype, tolerance: float) -> None:
    """The kernel's step multiplies the input too; here it must not, and steps are as small as 0.001.

    In bfloat16 the bias of q and k is a sum over tokens that nearly cancels.
    """
    torch.manual_seed(0)
    x = Feature(64, (100,))
    exact = attention(x, heads=2, key_dim=8, forget_gate=True).double()
    rounded = attention(x, heads=2, key_dim=8, forget_gate=True).to(dtype)
    rounded.load_state_dict(exact.state_dict())
    exact.load_state_dict(rounded.state_dict())
    t, dy = torch.randn(2, 3, 100, 64).to(dtype).unbind()
    y, expected = run(rounded, Stream(t, (100,))).x, run(exact, Stream(t.double(), (100,))).x
    y.backward(dy)
    expected.backward(dy.double())
    pairs = {"y": (y, expected)}
    for (name, found), wanted in zip(rounded.named_parameters(), exact.parameters(), strict=True):
        assert found.grad is not None, name
        assert wanted.grad is not None, name
        pairs[name] = found.grad, wanted.grad
    for name, (ours, true) in pairs.items():
        assert ours.dtype == dtype
        limit = 4 * tolerance if name == "qk.bias" else tolerance
        assert (ours - true).norm() <= limit * true.norm(), name
