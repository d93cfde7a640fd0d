"""The peak of memory of a run without gradients, told by the graph, against the profiler's memory events."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from families import family_of
from profiled import peak_of, threads

import archdsl
from archdsl import ops
from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature, Word
from archdsl.graph import library
from archdsl.graph.memory.inference import Running, peak_bytes
from archdsl.graph.node import Build, Node, make_node
from archdsl.nn.stream import Stream, from_map, run

MAP = Feature(48, (14, 14))
AMONG = Feature(48, (14, 14), (Extra("registers", 4, "even"),))
BESIDE = Feature(48, (14, 14), (Extra("class_token", 1, "start"),))

ONE_EACH = "digits_hybrid hybrid mamba_r mambaout mambavision mila tiny vim vit_ti_causal vmamba".split()


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threads(2):
        yield


def _measured(model: archdsl.Model, images: int) -> int:
    shape = (images, model.architecture.channels, *model.architecture.image)
    return peak_of(lambda: model(torch.zeros(shape)))


@pytest.mark.parametrize("name", ONE_EACH)
def test_peaks_of_a_run(name: str) -> None:
    family = family_of(name)
    model = archdsl.build(archdsl.load(name, overrides=family.overrides, **family.small)).eval()
    for images in (1, 4):
        assert peak_bytes(model.architecture, images) == pytest.approx(_measured(model, images), rel=0.05)
    assert model.architecture.cost().peak_bytes == peak_bytes(model.architecture)


SHIPPED = sorted(name for name, path in library.index().items() if path.parent.name != "ablations")
BIG = 40_000_000
"""Parameters from which architectures are run on smaller images."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_peaks_of_every_shipped_architecture(name: str) -> None:
    big = archdsl.load(name).cost().params > BIG
    size = {"image": 128 if "512" in name else 96} if big else {}
    model = archdsl.build(name, **size).eval()
    for images in (1, 4):
        assert peak_bytes(model.architecture, images) == pytest.approx(_measured(model, images), rel=0.15)


def _op(name: str, *inner: Build, **values: object) -> Build:
    op = ops.find(name)
    assert op is not None
    return lambda x: make_node(op(**values), x, inner)


NORM, ATTENTION = _op("layer_norm"), _op("attention", heads=4)
NODES: dict[str, Build] = {
    "linear": _op("linear", out=64),
    "layer_norm": NORM,
    "rms_norm": _op("rms_norm"),
    "batch_norm": _op("batch_norm"),
    "gelu": _op("gelu"),
    "layer_scale": _op("layer_scale", init=1.0),
    "position": _op("position", kind="learned"),
    "pool": _op("pool", kind="mean"),
    "fold": _op("fold", side=3),
    "pad": _op("pad", multiple=4),
    "registers": _op("branches", _op("residual", NORM), merge="add"),
    "patch_embed": _op("patch_embed", patch=2, out=64),
    "conv2d": _op("conv2d", kernel=3),
    "conv2d of stride 2": _op("conv2d", kernel=3, stride=2, out=96),
    "conv2d of one place": _op("conv2d", kernel=1, out=192),
    "conv2d by channel": _op("conv2d", kernel=7, depthwise=True),
    "conv1d": _op("conv1d", kernel=4, causal=True),
    "selective_scan": _op("selective_scan", state=8),
    "attention": ATTENTION,
    "attention with norms": _op("attention", heads=4, qk_norm=True),
    "attention with positions": _op("attention", heads=4, position="relative"),
    "linear_attention": _op("linear_attention", heads=4),
    "linear_attention turned": _op("linear_attention", heads=4, rope=True, lepe=True),
    "linear_attention gated": _op("linear_attention", heads=4, input_gate=True),
    "linear_attention along": _op("linear_attention", heads=4, kernel="identity", key_dim=4, causal=True),
    "linear_attention forgetting": _op("linear_attention", heads=4, forget_gate=True),
    "windows": _op("windowed", ATTENTION, window=7),
    "windows padded": _op("windowed", ATTENTION, window=4, pad=True),
    "windows shifted": _op("windowed", NORM, window=7, shift=3),
    "rows": _op("windowed", NORM, window="row"),
    "routes": _op("routed", NORM, order=Word("cross"), merge="mean"),
    "routes left": _op("routed", _op("selective_scan", state=4), order=Word("both"), restore=False),
    "split": _op("split", _op("silu"), _op("gelu"), _op("relu"), merge="mean"),
    "branches": _op("branches", _op("silu"), _op("gelu"), merge="concat"),
    "partial": _op("partial", _op("conv2d", kernel=3, depthwise=True), channels=24),
    "residual": _op("residual", _op("gelu")),
    "mlp": _op("mlp", _op("gelu")),
}


def _of_node(node: Node, images: int) -> int:
    x = node.input
    module = module_of(node).eval()
    given = Stream(torch.zeros(images, x.tokens, x.dim), x.grid, x.extras)
    return peak_of(lambda: run(module, given))


@pytest.mark.parametrize("x", [MAP, AMONG, BESIDE], ids=["map", "among", "beside"])
@pytest.mark.parametrize("name", NODES)
def test_peaks_of_operators(name: str, x: Feature) -> None:
    node = NODES[name](x)
    for images in (1, 4):
        assert Running(images).of(node).peak == pytest.approx(_of_node(node, images), rel=0.1)


@pytest.mark.parametrize("name", ["mambavision_t", "mambaout_femto", "mila_t", "vit_ti", "vim_tiny"])
def test_peaks_of_stems_on_images(name: str) -> None:
    a = archdsl.load(name)
    module = module_of(a.stem).eval()
    for images in (1, 4):
        given = from_map(torch.zeros(images, a.channels, *a.image))
        measured = peak_of(lambda given=given: run(module, given))  # type: ignore[misc]
        assert Running(images).on_image(a.stem).peak == pytest.approx(measured, rel=0.02)


def test_what_an_extension_does_not_say_is_taken_on_the_safe_side() -> None:
    class Both(ops.Op):
        name = "both"

        def infer(self, x: Feature, *parts: ops.Infer) -> Feature:
            return [part(x) for part in parts][-1]

    node = make_node(Both(), MAP, [_op("linear", out=96), _op("linear", out=48)])
    size = 4 * MAP.tokens
    assert Running().of(node) == (size * (96 + 48 + 48), size * 48)
