"""Architectures with equal digests compute one function, whatever settings made them equal."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from same_function import assert_same_function

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.graph.architecture import Architecture

STEMS = (
    "",
    " -> class_token(start)",
    " -> class_token(middle)",
    " -> registers(1)",
    " -> registers(1, middle)",
    " -> registers(2, start) -> class_token(start)",
    " -> registers(0)",
    " -> pad(2)",
    " -> pad(3)",
)
WITHIN = ("none", "none", "windows(4)", "windows(4, shift = 1)", "windows(2)", "windows(4, extras = copy)",
          "windows(2, shift = 1)", "windows(2, pad = on, shift = 1)", "windows(row)")  # fmt: skip
HEADS = (
    "pool(mean) -> linear(classes)",
    "pool(mean) -> pool(max) -> linear(classes)",
    "pool(mean) -> concat() -> linear(classes)",
    "take(patches) -> pool(mean) -> linear(classes)",
    "take(class_token) -> pool(max) -> linear(classes)",
    "take(class_token) -> linear(classes)",
)
LEAVES = ("linear", "silu", "attention(2)", "attention(2, position = relative)", "conv1d(3, causal)",
          "conv2d(3, depthwise)", "selective_scan(2)", "take(patches)", "pad(2)", "pad(4)", "none",
          "mlp(2)", "mlp(2.01)", "conv1d(1)", "conv1d(1, causal)", "batch_norm")  # fmt: skip
AROUND = (
    "{}",
    "{} -> {}",
    "partial({}, channels = {channels})",
    "branches({}, merge = {merge})",
    "branches({}, {}, merge = {merge})",
    "split({}, merge = {merge})",
    "routed({}, order = {order}, merge = {sum})",
    "routed(shared({}), order = {order})",
    "routed(shared({}) -> {}, order = both)",
    "shared({})",
    "residual({})",
    "windowed({}, {window}, shift = {shift}, pad = {flag}, extras = {extras})",
)


def pipeline(rng: Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(LEAVES)
    around = rng.choice(AROUND)
    return around.format(
        *(pipeline(rng, depth - 1) for _ in range(2)),
        channels=rng.choice((4, 8)),
        merge=rng.choice(("add", "mean", "multiply")),
        order=rng.choice(("forward", "forward", "backward", "both", "columns", "local(2)")),
        sum=rng.choice(("add", "mean")),
        window=rng.choice(("4", "4", "2", "[4, 2]", "6", "row")),
        shift=rng.choice((0, 0, 1)),
        flag=rng.choice(("on", "off")),
        extras=rng.choice(("past", "copy")),
    )


def spec(rng: Random) -> str:
    return f"""
arch drawn(dim = 8) {{
  image = 16
  classes = 3
  stem = patch_embed(4, dim){rng.choice(STEMS)}
  stage s {{
    within = {rng.choice(WITHIN)}
    blocks = residual({pipeline(rng, rng.choice((1, 1, 2)))})
  }}
  head = {rng.choice(HEADS)}
}}
"""


def groups(folder: Path, seed: int, count: int) -> list[list[Architecture]]:
    """Architectures with equal digests that are not written alike, from many that were drawn."""
    rng = Random(seed)
    path = folder / "drawn.arch"
    found: defaultdict[str, dict[str, Architecture]] = defaultdict(dict)
    for _ in range(count):
        path.write_text(spec(rng), encoding="utf-8")
        try:
            architecture = archdsl.load(path)
        except DiagnosticError:
            continue
        found[architecture.digest()].setdefault(architecture.to_source(), architecture)
    return [list(group.values()) for group in found.values() if len(group) > 1]


def check(drawn: list[list[Architecture]], most: int) -> None:
    for group in drawn:
        for other in islice(group, 1, most):
            assert_same_function(group[0], other)


def test_equal_digests_mean_equal_functions(tmp_path: Path) -> None:
    drawn = groups(tmp_path, seed=0, count=400)
    assert len(drawn) >= 8
    check(drawn[:20], most=3)


@pytest.mark.slow
def test_equal_digests_mean_equal_functions_among_many(tmp_path: Path) -> None:
    drawn = groups(tmp_path, seed=1, count=8000)
    assert len(drawn) >= 100
    check(drawn, most=5)
