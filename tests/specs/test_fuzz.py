"""Random specs: what the checker accepts, builds and runs with the shapes and costs that it promised."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.diagnostics import Source
from archdsl.diagnostics.render import render
from archdsl.graph.digest import training_digest
from archdsl.lang import format_source

LEAVES = [
    "gelu",
    "silu",
    "relu",
    "gelu(tanh)",
    "layer_norm",
    "rms_norm",
    "batch_norm",
    "linear",
    "linear(18, bias = off)",
    "linear(dim)",
    "linear(3 * dim // 2)",
    "conv1d(3)",
    "conv1d(4, causal)",
    "conv1d(2, bias = off)",
    "conv2d(3, depthwise)",
    "conv2d(3, dim)",
    "conv2d(5, depthwise, bias = off)",
    "conv2d(1, 12)",
    "conv2d(3, stride = 2)",
    "selective_scan(2)",
    "selective_scan(4, dt_rank = 3, dt_bias = twice)",
    "attention(heads = 2)",
    "attention(heads = 3, causal, position = relative)",
    "attention(heads = 1, qk_norm = on)",
    "linear_attention(heads = 2)",
    "linear_attention(heads = 1, rope = on, lepe = on)",
    "linear_attention(heads = 3, key_dim = 2, kernel = relu, causal, lepe)",
    "linear_attention(heads = 1, key_dim = 4, kernel = identity, normalize = off, forget_gate)",
    "linear_attention(heads = 2, value = project, input_gate, forget_gate, shortcut, gate_rank = 3)",
    "linear_attention(heads = 2, input_gate, shortcut, qkv_bias = off)",
    "layer_norm(affine = off)",
    "fold(2)",
    "pad(3)",
    "mlp(2)",
    "mlp(1 / 2, relu)",
    "drop_path",
    "layer_scale(1e-4)",
    "position(learned)",
    "none",
]
ORDERS = [
    "forward",
    "backward",
    "both",
    "cross",
    "columns",
    "snake",
    "local(2)",
    "[rows, reverse(columns)]",
    "[local(3), snake]",
    "[snake(columns), reverse(local(2, columns))]",
    "reverse(reverse(rows))",
]
EXTRAS = [
    "",
    " -> class_token(start)",
    " -> class_token(both, position = learned)",
    " -> registers(3)",
    " -> registers(2, at = middle) -> class_token(end)",
    " -> class_token(middle) -> registers(1, at = start)",
]


def _join(parts: list[str]) -> str:
    return " -> ".join(parts)


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    merges = st.sampled_from(["add", "multiply", "mean", "concat"])
    some = st.lists(inner, min_size=1, max_size=3).map(", ".join)
    return st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(_join),
        st.builds(
            "routed({}, order = {}, merge = {}, restore = {})".format,
            inner,
            st.sampled_from(ORDERS),
            st.sampled_from(["add", "mean"]),
            st.sampled_from(["on", "on", "off"]),
        ),
        st.builds("split({}, merge = {})".format, some, merges),
        st.builds("branches({}, merge = {})".format, some, merges),
        st.builds("partial({}, channels = {})".format, inner, st.sampled_from(["4", "dim // 2", "dim / 3"])),
        st.builds(
            "windowed({}, window = {}, shift = {}, pad = {}, extras = {})".format,
            inner,
            st.sampled_from(["2", "3", "[2, 3]", "row", "column"]),
            st.sampled_from(["0", "0", "1"]),
            st.sampled_from(["on", "on", "off"]),
            st.sampled_from(["past", "copy"]),
        ),
        st.builds("residual({})".format, inner),
        st.builds("shared({})".format, inner),
    )


MIXERS = st.recursive(st.sampled_from(LEAVES), _combined, max_leaves=8)
BLOCKS = st.one_of(
    MIXERS.map("metaformer({} -> linear(dim))".format),
    st.sampled_from(
        [
            "scan",
            "scan(order = cross, state = 3)",
            "gated_conv",
            "conv",
            "linear_attn",
            "attn",
            "window_attn(window = 1)",
        ]
    ),
)
STEMS = st.builds(
    "{}{}".format,
    st.sampled_from(
        [
            "patch_embed(4, dim)",
            "patch_embed(5, dim, stride = 3)",
            "conv2d(3, dim, stride = 4) -> layer_norm",
            "conv2d(3, dim // 2, stride = 2) -> batch_norm -> relu -> conv2d(3, dim, stride = 2)",
            "patch_embed(4, dim) -> position(learned)",
            "pad(4) -> patch_embed(4, dim)",
            "fold(4) -> linear(dim)",
            "fold(3) -> layer_norm(affine = off) -> linear(dim) -> pad(2)",
        ]
    ),
    st.sampled_from(EXTRAS),
)
FEATURE_NORMS = st.sampled_from(
    ["none", "layer_norm", "rms_norm -> gelu", "batch_norm", "layer_norm(affine = off)"]
)
HEADS = st.sampled_from(
    [
        "layer_norm -> pool(mean) -> linear(classes)",
        "pool(max) -> linear(4 * dim) -> gelu -> linear(classes)",
        "take(registers) -> concat(reduce = 2) -> linear(classes)",
        "take(class_token) -> pool(mean) -> linear(classes)",
        "take(registers) -> mamba -> pool(mean) -> linear(classes)",
        "none",
    ]
)


@st.composite
def specs(draw: st.DrawFn) -> str:
    lines = [
        f"image = [{draw(st.integers(9, 40))}, {draw(st.integers(9, 40))}]",
        "heads = 2",
        f"stem = {draw(STEMS)}",
    ]
    stages = draw(st.integers(1, 2))
    if stages == 2:
        lines.append(f"downsample = {draw(st.sampled_from(['down', 'folded']))}")
    for number in range(stages):
        blocks = " + ".join(draw(st.lists(BLOCKS, min_size=1, max_size=2)))
        within = draw(
            st.sampled_from(
                [
                    "",
                    "",
                    "within = windows(2, pad = on); ",
                    "within = windows(3, pad = on, extras = copy); ",
                    "within = windows(row); ",
                    "within = windows(column, extras = copy); ",
                ]
            )
        )
        lines.append(f"stage s{number} {{ dim = {number + 1} * dim; {within}blocks = {blocks} }}")
    lines.append(f"feature_norm = {draw(FEATURE_NORMS)}")
    lines.append(f"head = {draw(HEADS)}")
    body = "\n  ".join(lines)
    mixers = (
        "mixer down(dim) = conv2d(3, dim, stride = 2)\n"
        "mixer folded(dim) = fold(2) -> layer_norm -> linear(dim)\n"
    )
    return f"{mixers}arch wild(dim = 12) {{\n  {body}\n}}\n"


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=specs())
def test_what_is_accepted_is_what_was_promised(tmp_path: Path, text: str) -> None:
    spec = tmp_path / "wild.arch"
    spec.write_text(text, encoding="utf-8")
    found = archdsl.check(spec)
    if any(d.code != "E206" for d in found):
        for d in found:
            assert d.code[:2] in ("E2", "E3"), render(d)
            assert d.span is not None, render(d)
            assert d.label, render(d)
            assert d.help, render(d)
        return
    architecture = archdsl.load(spec, classes=5)
    cost = architecture.cost()
    model = archdsl.build(spec, classes=5, device="meta").eval()
    assert cost.params == sum(p.numel() for p in model.parameters())
    images = torch.empty(2, 3, *architecture.image, device="meta")
    with FlopCounterMode(display=False) as counter:
        out = model(images)
    assert 4 * cost.macs.total == counter.get_total_flops()
    maps = model.forward_intermediates(images, intermediates_only=True)
    stages = architecture.stages
    assert len(maps) == (len(stages) if len(stages) > 1 else len(stages[0].blocks))
    assert {tuple(m.shape) for m in maps} == {(2, s.feature.dim, *s.feature.grid) for s in stages}
    written = tmp_path / "written.arch"
    written.write_text(architecture.to_source(), encoding="utf-8")
    again = archdsl.load(written)
    assert again.digest() == architecture.digest()
    assert training_digest(again) == training_digest(architecture)
    assert again.to_source() == architecture.to_source()
    for source in (text, architecture.to_source()):
        once = format_source(Source("wild.arch", source))
        assert format_source(Source("wild.arch", once)) == once
    last = architecture.stages[-1].feature
    assert out.shape == ((2, 5) if architecture.head else (2, last.tokens, last.dim))
