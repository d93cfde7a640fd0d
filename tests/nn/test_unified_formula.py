"""MILA's unified formula: linear attention token by token, and with gates the selective scan itself."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archdsl.compiler.modules import module_of
from archdsl.features import Feature, Word
from archdsl.graph.node import make_node
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


GATES = ("", "i", "f", "if")


@pytest.mark.parametrize(
    ("gates", "causal"), [(g, c) for g, c in product(GATES, (True, False)) if c or "f" not in g]
)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("kernel", ["elu", "relu"])
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


def test_a_forget_gate_makes_it_causal() -> None:
    x = Feature(8, (4,))
    op = LinearAttention(heads=2, forget_gate=True)
    assert op.resolved(x).causal
    assert op.resolved(x) == LinearAttention(heads=2, forget_gate=True, causal=True).resolved(x)
