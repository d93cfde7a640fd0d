"""What training keeps, told without torch, against what autograd saves in the module."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import archdsl
from archdsl.compiler.build import compile_model
from archdsl.compiler.model import Model
from archdsl.compiler.modules import module_of
from archdsl.compiler.passes import PASSES, UNFUSED, Pass
from archdsl.compiler.saved import saved_bytes
from archdsl.features import Extra, Feature
from archdsl.graph import library
from archdsl.graph.architecture import Architecture
from archdsl.graph.memory.keeping import NOTHING, Bytes, checkpointed, saved_by_top
from archdsl.graph.memory.training import UNCHANGED, Tracing
from archdsl.graph.node import Build, Node, make_node
from archdsl.nas.choosers import Drawn
from archdsl.nas.domains import VariedSpace
from archdsl.nas.read import read_search
from archdsl.nas.space import Refusal
from archdsl.nn.stream import Stream, run
from archdsl.ops.attention import Attention
from archdsl.ops.linear import Linear
from archdsl.ops.linear_attention import LinearAttention
from archdsl.ops.residual import Residual
from archdsl.ops.silu import Silu
from archdsl.ops.windowed import Windowed

QUICK = (
    "digits_hybrid", "hybrid", "mambaout_femto", "mambavision_t", "mila_forget_gate", "tiny", "vim_tiny",
    "vit_ti", "vmamba_t",
)  # fmt: skip
OTHERS = tuple(name for name in sorted(library.index()) if name not in QUICK)


def told(architecture: Architecture, fused: bool = True) -> Bytes:
    total = NOTHING
    for row in saved_by_top(architecture, Tracing(fused)):
        total = total.plus(row)
    return total


def forward(model: Model, images: int) -> object:
    return model(torch.randn(images, model.architecture.channels, *model.architecture.image))


def measured(architecture: Architecture, images: int, passes: tuple[Pass, ...] = PASSES) -> int:
    """On a CPU that computes nothing, so that large models cost nothing."""
    with FakeTensorMode():
        model = compile_model(architecture, device="cpu", passes=passes).train()
        return saved_bytes(model, partial(forward, model, images))


def assert_told(architecture: Architecture) -> None:
    assert told(architecture) == architecture.cost().saved
    assert measured(architecture, 3) == told(architecture).of(3)
    assert measured(architecture, 2, UNFUSED) == told(architecture, fused=False).of(2)


@pytest.mark.parametrize("name", QUICK)
def test_it_is_what_autograd_saves(name: str) -> None:
    assert_told(archdsl.load(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_it_is_what_autograd_saves_in_every_shipped_architecture(name: str) -> None:
    assert_told(archdsl.load(str(library.file_of(name)), name))


@pytest.mark.parametrize(
    ("name", "points"),
    [
        *((name, 4) for name in ("hybrid_stages", "registers", "tiny_cpu")),
        *(pytest.param(name, 100, marks=pytest.mark.slow) for name in ("hybrid_stages", "tiny_cpu")),
    ],
)
def test_random_points_of_the_shipped_searches(name: str, points: int) -> None:
    plan = read_search(name)
    assert isinstance(plan.space, VariedSpace)
    random = Random(points)
    for _ in range(points):
        found = plan.candidates.at(plan.space.draw(Drawn(random, {})))
        if isinstance(found, Refusal):
            continue
        model = compile_model(found.architecture).train()
        for images in (2, 3):
            saved = saved_bytes(model, partial(forward, model, images))
            assert saved == told(found.architecture).of(images)


@pytest.mark.parametrize("name", ["digits_hybrid", "tiny"])
def test_a_cpu_that_computes_saves_the_same(name: str) -> None:
    architecture = archdsl.load(name)
    model = compile_model(architecture).train()
    assert saved_bytes(model, partial(forward, model, 3)) == measured(architecture, 3)


def test_dropped_paths_windows_and_maps_of_any_size() -> None:
    for overrides in (
        {"drop_path": 0.3, "stem": "patch_embed(4, dim)", "head": "pool(max) -> linear(classes)"},
        {"stem": "patch_embed(4, dim) -> relu", "head": "pool(mean) -> linear(classes)"},
        {"stem": "patch_embed(4, dim) -> class_token", "head": "take(class_token) -> linear(classes)"},
        {"s2.within": "windows(2, pad = on)", "stem": "patch_embed(4, dim) -> registers(3) -> relu"},
        {"s2.within": "windows(2, shift = 1, pad = on)", "s2.blocks": "2 x attn(heads = 2)"},
    ):
        for image in ([24, 40], [28, 28]):
            assert_told(archdsl.load("tiny_stages", overrides=overrides, image=image))


X = Feature(8, (6, 6))
BESIDE = Feature(8, (6, 6), (Extra("class_token", 1, "start"), Extra("registers", 2, "even")))
ATTENTION = Attention(heads=2)


def cut(shift: int, op: Attention | LinearAttention, extras: Literal["copy", "past"]) -> Build:
    window = Windowed(window=(4, 4), shift=shift, pad=True, extras=extras)
    return lambda x: make_node(window, x, [lambda f: make_node(op, f)])


@pytest.mark.parametrize("x", [X, BESIDE])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("extras", ["copy", "past"])
@pytest.mark.parametrize(
    "op",
    [
        ATTENTION,
        Attention(heads=2, position="relative", causal=True),
        Attention(heads=1, causal=True, qk_norm=True),
        LinearAttention(heads=2, rope=True, lepe=True),
        LinearAttention(heads=4, forget_gate=True, value="project"),
    ],
)
def test_attention_in_windows(
    x: Feature, shift: int, extras: Literal["copy", "past"], op: Attention | LinearAttention
) -> None:
    assert_node(cut(shift, op, extras)(x))


def test_windows_in_shifted_windows() -> None:
    outer = Windowed(window=(4, 4), shift=2, pad=True)
    assert_node(make_node(outer, X, [lambda f: make_node(Windowed(window=(2, 2), shift=1), f, [
        lambda g: make_node(ATTENTION, g)])]))  # fmt: skip


def assert_node(node: Node) -> None:
    module = module_of(node).train()
    kept = Tracing().of(node, UNCHANGED.layout)
    for images in (2, 3):
        x = torch.randn(images, node.input.tokens, node.input.dim, requires_grad=True)
        stream = Stream(x, node.input.grid, node.input.extras)
        expected = images * (kept.inside + kept.output * kept.size) + kept.fixed + kept.input * x.nbytes
        assert saved_bytes(module, partial(run, module, stream)) == expected


@pytest.mark.parametrize("name", ["digits_hybrid", "tiny", "tiny_stages"])
def test_with_checkpoints(name: str) -> None:
    architecture = archdsl.load(name, image=32, drop_path=0.2)
    model = compile_model(architecture).train()
    model.set_grad_checkpointing()
    found = checkpointed(architecture, Tracing())
    assert found.kept.each < told(architecture).each
    for images in (2, 3):
        assert saved_bytes(model, partial(forward, model, images)) == found.kept.of(images)
        assert found.kept.of(images) <= found.peak(images) <= told(architecture).of(images) * 2


def test_at_a_checkpoint_there_is_what_stands_before_and_all_inside() -> None:
    architecture = archdsl.load("tiny")
    model = compile_model(architecture).train()
    model.set_grad_checkpointing()
    counts = [len(stage.blocks) for stage in architecture.stages]
    places = [(stage, block) for stage, count in enumerate(counts) for block in range(count)]
    saved = [saved_bytes(model, partial(until, model, *place)) for place in places]
    assert saved == [moment.of(2) for moment in checkpointed(architecture, Tracing()).moments]


def until(model: Model, number: int, index: int) -> Tensor:
    """The forward up to a block, of which all is kept."""
    *before, last = model._stage_modules[: number + 1]
    s = run(model.stem, model._entering(torch.randn(2, 3, *model.architecture.image)))
    for stage in before:
        s = stage(s)
    s = s if last.downsample is None else run(last.downsample, s)
    blocks = last.blocks.parts()
    for block in blocks[:index]:
        s = last._checkpoint(block, s)
    return run(blocks[index], s).x


def test_gradients_with_checkpoints_are_the_same() -> None:
    model = compile_model(archdsl.load("tiny", drop_path=0.5)).train()
    images = torch.randn(4, 3, *model.architecture.image)
    found = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        torch.manual_seed(1)
        model(images).square().sum().backward()
        found.append([p.grad for p in model.parameters()])
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_what_stands_behind_each_other_can_be_grouped() -> None:
    tracing = Tracing()
    nodes = [
        make_node(Residual(), X, [lambda x: make_node(Linear(), x)]),
        make_node(Silu(), X),
        make_node(Linear(), X),
    ]
    a, b, c = (tracing.of(node, UNCHANGED.layout) for node in nodes)
    assert a.then(b).then(c) == a.then(b.then(c))
    assert UNCHANGED.then(a) == a == a.then(UNCHANGED)
    size = 4 * 36 * 8
    assert (a.inside, a.input, a.output, a.size) == (0, True, False, size)
    assert a.then(b).inside == size
    assert a.then(b).then(c).behind(size) == (3 * size, size)
