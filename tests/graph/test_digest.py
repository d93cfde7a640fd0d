"""The digest: equal for equal functions as far as promised, different for different ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archdsl
from archdsl.features import Feature
from archdsl.graph.architecture import Architecture
from archdsl.graph.digest import training_digest
from archdsl.graph.node import Node, make_node
from archdsl.ops.chain import Chain
from archdsl.ops.linear import Linear

TINY = "mamba_r_tiny"
BASE = archdsl.load(TINY)


def _loaded(tmp_path: Path, text: str) -> Architecture:
    path = tmp_path / "spec.arch"
    path.write_text(text, encoding="utf-8")
    return archdsl.load(path)


def test_form() -> None:
    assert re.fullmatch(r"a3:[0-9a-f]{64}", BASE.digest())


@pytest.mark.parametrize(
    "overrides",
    [
        {"dim": 384},
        {"depth": 23},
        {"registers": 11},
        {"at": "start"},
        {"reduce": 2},
        {"norm": "layer_norm"},
        {"eps": "1e-6"},
        {"layer_scale": "1e-5"},
        {"classes": 10},
        {"channels": 1},
        {"stem": "patch_embed(16, dim) -> registers(registers, at, position = learned)"},
        {"stem": "patch_embed(16, dim, 8) -> position(learned) -> registers(registers)"},
        {"head": "norm -> take(registers) -> pool(mean) -> linear(classes)"},
        {"head": "norm -> pool(max) -> linear(classes)"},
        {"head": "none"},
        *(
            {"trunk.blocks": f"24 x scan({arguments})"}
            for arguments in (
                "order = forward",
                "order = backward",
                "order = [rows, columns]",
                "order = both, merge = add",
                "order = both, state = 8",
                "order = both, conv = 3",
                "order = both, expand = 3",
            )
        ),
        {"trunk.blocks": "23 x scan(order = both) + scan(order = forward)"},
        {"trunk.blocks": "scan(order = forward) + 23 x scan(order = both)"},
    ],
    ids=str,
)
def test_a_change_of_the_function_changes_it(overrides: dict[str, object]) -> None:
    assert archdsl.load(TINY, overrides=overrides).digest() != BASE.digest()


@pytest.mark.parametrize(
    "overrides",
    [
        {"drop_path": 0.3},
        {"init": "trunc_normal(0.02)"},
        {"image": 384},
        {"trunk.blocks": "12 x (scan(order = both) + scan(order = [rows, reverse(rows)]))"},
        {"head": "rms_norm(1e-5) -> take(registers) -> concat() -> linear(1000)"},
    ],
    ids=str,
)
def test_what_does_not_change_the_function_keeps_it(overrides: dict[str, object]) -> None:
    assert archdsl.load(TINY, overrides=overrides).digest() == BASE.digest()


def test_the_value_that_layer_scale_starts_from_keeps_it() -> None:
    digests = {archdsl.load(TINY, overrides={"layer_scale": v}).digest() for v in ("1e-5", "0.1")}
    assert len(digests) == 1


BODY = """
arch a(dim = 32) {
  stem = patch_embed(16, dim)
  stage s { blocks = 2 x %s }
  head = pool(mean) -> linear(classes)
}
"""
MIXING = "conv2d(3, depthwise = on) -> silu -> linear(bias = off)"


@pytest.mark.parametrize(
    "text",
    [
        "mixer m = {0}\nblock b {{ residual layer_norm -> m }}",
        "mixer other = {0}\nblock b {{ residual layer_norm -> other }}",
        "mixer p = silu -> linear(bias = off)\n"  # noqa: ISC004
        "block b {{ residual layer_norm -> conv2d(3, depthwise = on) -> p }}",
        "mixer m(k) = conv2d(k, depthwise = on) -> silu -> linear(bias = off)\n"  # noqa: ISC004
        "block b {{ residual layer_norm -> m(3) }}",
        "block c {{ residual layer_norm -> {0} }}\nblock b = c",
        "block b {{ residual layer_norm(eps = 1e-5) -> {0} -> drop_path }}",
    ],
)
def test_names_and_nesting_of_definitions_keep_it(tmp_path: Path, text: str) -> None:
    inlined = f"block b {{ residual layer_norm -> {MIXING} }}" + BODY % "b"
    written = text.format(MIXING) + BODY % "b"
    assert _loaded(tmp_path, written).digest() == _loaded(tmp_path, inlined).digest()


def test_names_of_arch_stage_and_block_keep_it(tmp_path: Path) -> None:
    text = f"block b {{ residual layer_norm -> {MIXING} }}" + BODY % "b"
    renamed = text.replace("arch a", "arch z").replace("stage s ", "stage t ").replace("block b", "block c")
    renamed = renamed.replace("x b", "x c")
    assert _loaded(tmp_path, text).digest() == _loaded(tmp_path, renamed).digest()


def test_sharing_of_weights_changes_it(tmp_path: Path) -> None:
    own = BODY % "residual(routed(conv1d(3) -> linear, order = both))"
    text = (
        "block b {{ residual routed({0}, order = both) }}" + BODY.replace("{", "{{").replace("}", "}}") % "b"
    )
    own, shared, half = (
        _loaded(tmp_path, text.format(inner)).digest()
        for inner in (
            "conv1d(3) -> linear",
            "shared(conv1d(3) -> linear)",
            "shared(conv1d(3)) -> linear",
        )
    )
    assert len({own, shared, half}) == 3


def test_keys_of_sharing_do_not_tell_a_definition_from_its_text(tmp_path: Path) -> None:
    routed = "routed(conv1d(3), order = both)"

    def text(m: str) -> str:
        shared = "routed(shared(linear), order = both)"
        blocks = (
            f"block b {{ residual {m} -> {m} -> {shared} }}\nblock c {{ residual silu -> {m} -> {shared} }}\n"
        )
        return f"mixer m = {routed}\n{blocks}" + (BODY % "(b + c + c)").replace("2 x", "c +")

    assert _loaded(tmp_path, text("m")).digest() == _loaded(tmp_path, text(routed)).digest()


X = Feature(8, (2, 2))


def _with_blocks(*shares: str) -> str:
    def linear(share: str) -> Node:
        return replace(make_node(Linear(), X), share=share)

    stem = make_node(Chain(), X, [lambda _, s=s: linear(s) for s in shares])
    return replace(BASE, stem=stem, stages=(), head=None).digest()


def test_keys_of_sharing_are_names_only() -> None:
    assert _with_blocks("k", "k", "l") == _with_blocks("p", "p", "a")
    assert _with_blocks("k", "k", "l") != _with_blocks("k", "l", "l")
    assert _with_blocks("k", "k") != _with_blocks("k", "l")


@st.composite
def _parameters(draw: st.DrawFn) -> tuple[object, ...]:
    return (
        draw(st.sampled_from([16, 32])),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([4, 8])),
        draw(st.sampled_from(["forward", "backward", "both", "cross"])),
        draw(st.integers(1, 2)),
        draw(st.sampled_from(["start", "even", "end"])),
        draw(st.sampled_from(["mean", "add"])),
    )


@given(_parameters(), _parameters())
@settings(max_examples=40, deadline=None)
def test_equal_digests_mean_equal_parameters(a: tuple[object, ...], b: tuple[object, ...]) -> None:
    def digest(p: tuple[object, ...]) -> str:
        dim, depth, state, order, registers, at, merge = p
        blocks = f"{depth} x scan(order = {order}, state = {state}, merge = {merge})"
        overrides = {"dim": dim, "registers": registers, "at": str(at), "reduce": 1, "trunk.blocks": blocks}
        return archdsl.load(TINY, overrides=overrides).digest()

    def told(p: tuple[object, ...]) -> tuple[object, ...]:
        *rest, merge = p
        return (*rest, merge if "both" in rest or "cross" in rest else "one route merges nothing")

    assert (digest(a) == digest(b)) == (told(a) == told(b))


WRITTEN = """
arch a(dim = 16) {{
  image = 32
  stem = patch_embed(4, dim){tokens}
  stage s {{ within = windows({within}); blocks = metaformer({mixer}) }}
  feature_norm = {feature_norm}
  head = {head} -> linear(classes)
}}
"""
PLACES = {"tokens": "", "within": "8", "mixer": "linear", "feature_norm": "none", "head": "pool(mean)"}
ATTENTION = "linear_attention(heads = 2, {})"
ROUTED = "routed(linear, order = {})"
WINDOWED = "windowed(attention(2), {})"
CLASS_TOKEN = " -> class_token(start)"


def _digests(tmp_path: Path, place: str, text: str, tokens: str = "") -> tuple[str, str]:
    found = _loaded(tmp_path, WRITTEN.format(**(PLACES | {"tokens": tokens} | {place: text})))
    return found.digest(), training_digest(found)


@pytest.mark.parametrize(
    ("place", "texts"),
    [
        (
            "mixer",
            [
                ATTENTION.format(flags)
                for flags in (
                    "kernel = elu",
                    "kernel = relu",
                    "kernel = identity",
                    "key_dim = 4",
                    "value = project",
                    "normalize = off",
                    "rope",
                    "lepe",
                    "qkv_bias = off",
                    "causal",
                    "shortcut",
                    "causal, shortcut",
                    "input_gate",
                    "input_gate, gate_rank = 2",
                    "input_gate, causal",
                    "forget_gate",
                    "forget_gate, input_gate",
                )
            ],
        ),
        (
            "mixer",
            [
                ROUTED.format(order)
                for order in (
                    "rows",
                    "columns",
                    "snake",
                    "snake(columns)",
                    "local(2)",
                    "local(4)",
                    "local(2, columns)",
                    "reverse(local(2))",
                    "[rows, columns]",
                    "[columns, rows]",
                    "[columns, rows], merge = add",
                    "[columns, rows], restore = off",
                    "reverse(rows), restore = off",
                )
            ],
        ),
        (
            "mixer",
            [
                WINDOWED.format(how)
                for how in (
                    "4",
                    "2",
                    "[1, 8]",
                    "row",
                    "column",
                    "3, pad = on",
                    "4, shift = 2",
                    "4, shift = 1",
                )
            ],
        ),
        ("mixer", ["layer_norm", "layer_norm(affine = off)", "layer_norm(eps = 1e-3)"]),
        ("mixer", ["mlp(2, none)", "mlp(4, none)", "mlp(2, gelu)"]),
        ("head", ["pool(mean)", "pool(max)"]),
        ("within", ["8", "4", "row", "column", "4, shift = 2", "3, pad = on"]),
        ("feature_norm", ["none", "layer_norm", "rms_norm", "layer_norm(affine = off)"]),
        (
            "tokens",
            ["", " -> pad(3)", " -> pad(16)", " -> fold(2) -> linear(dim)", " -> fold(4) -> linear(dim)"],
        ),
    ],
    ids=["linear_attention", "routed", "windowed", "norm", "mlp", "head", "within", "feature_norm", "stem"],
)
def test_every_parameter_that_changes_the_function_changes_it(
    tmp_path: Path, place: str, texts: list[str]
) -> None:
    if place == "tokens":
        texts = [f"{text} -> pad(8)" for text in texts if "pad(8)" not in text]
    found = [_digests(tmp_path, place, text) for text in texts]
    assert len({digest for digest, _ in found}) == len({digest for _, digest in found}) == len(texts)


@pytest.mark.parametrize(
    ("place", "first", "second"),
    [
        ("mixer", ATTENTION.format("forget_gate"), ATTENTION.format("forget_gate, causal")),
        (
            "mixer",
            ATTENTION.format("lepe = off"),
            ATTENTION.format("gate_rank = 5, key_dim = 8, kernel = elu"),
        ),
        ("mixer", ATTENTION.format("input_gate"), ATTENTION.format("input_gate, gate_rank = 1")),
        ("mixer", ROUTED.format("snake"), ROUTED.format("[snake(rows)]")),
        ("mixer", ROUTED.format("local(2)"), ROUTED.format("reverse(reverse(local(2, rows)))")),
        ("mixer", ROUTED.format("columns"), ROUTED.format("columns, merge = add")),
        ("mixer", ROUTED.format("both, restore = on"), ROUTED.format("[rows, [reverse(rows)]]")),
        ("mixer", ROUTED.format("[rows, rows]"), ROUTED.format("[rows, rows], restore = off")),
        (
            "mixer",
            WINDOWED.format("row"),
            WINDOWED.format("window = row, shift = 0, pad = on, extras = copy"),
        ),
        ("mixer", WINDOWED.format("4"), WINDOWED.format("[4, 4], extras = copy")),
        ("mixer", "linear", "pad(1) -> fold(1) -> linear"),
        ("mixer", "layer_norm", "layer_norm(affine = on)"),
        ("within", "row", "window = row, pad = on, extras = copy"),
        ("tokens", " -> pad(1)", " -> fold(1)"),
    ],
)
def test_what_changes_no_function_keeps_it(tmp_path: Path, place: str, first: str, second: str) -> None:
    assert _digests(tmp_path, place, first) == _digests(tmp_path, place, second)


def test_copies_of_extra_tokens_change_it_where_there_are_some(tmp_path: Path) -> None:
    first, second = (
        _digests(tmp_path, "within", f"4, extras = {extras}", CLASS_TOKEN) for extras in ("past", "copy")
    )
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_the_same_in_every_process() -> None:
    code = f"import archdsl; print(archdsl.load({TINY!r}).digest())"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "77")
    }
    assert found == {BASE.digest()}


def test_the_digest_of_training_sees_what_only_training_sees() -> None:
    def digest(**overrides: object) -> str:
        return training_digest(archdsl.load("tiny", overrides=overrides))

    base = digest()
    others = [
        digest(drop_path=0.1),
        digest(layer_scale=1e-5),
        digest(layer_scale=1e-4),
        digest(init="vim"),
        digest(image=32),
        digest(dim=24),
    ]
    assert len({base, *others}) == 7
    assert digest(drop_path=0, init="trunc_normal(0.02)", image="[16, 16]") == base
    assert digest(**{"s1.blocks": "gated_conv + 1 x gated_conv"}) == base
    assert digest(drop_path=0.1) == digest(**{"s1.drop_path": 0.1, "s2.drop_path": 0.1})


def test_the_digest_of_training_is_that_of_the_canonical_source(tmp_path: Path) -> None:
    for name in ("tiny", "tiny_stages", "hybrid"):
        architecture = archdsl.load(name, overrides={"drop_path": 0.1, "layer_scale": 1e-5})
        (tmp_path / "canonical.arch").write_text(architecture.to_source())
        assert training_digest(archdsl.load(tmp_path / "canonical.arch")) == training_digest(architecture)
