"""Fused mixers: which are found, and that nobody can tell them from their parts run one by one."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import archdsl
from archdsl.cli.forward import watch
from archdsl.compiler import Model, compile_model
from archdsl.compiler.passes import PASSES, UNFUSED, run_passes
from archdsl.graph.architecture import Architecture
from archdsl.kernels.ladder import Candidate
from archdsl.kernels.linear import LADDER, Kernel, reference
from archdsl.nn import fused
from archdsl.nn.linear import Linear
from archdsl.nn.selective_scan import StepSizes

SPEC = """\
mixer other(state) = routed(linear(bias = off) -> silu -> selective_scan(state), order = both)
arch a(dim = 12, order = both, merge = mean, at = even) {{
  stem = patch_embed(8, dim) -> registers(3, at)
  stage s1 {{ blocks = {blocks} }}
  head = layer_norm -> pool(mean) -> linear(classes)
}}
"""
SMALL: dict[str, tuple[str, dict[str, object]]] = {
    "mamba_r": ("mamba_r", {"dim": 24, "depth": 2, "reduce": 1, "image": 64}),
    "vim": ("vim", {"dim": 16, "depth": 2, "image": (48, 32)}),
    "vim of one direction": (
        "vim",
        {"dim": 16, "depth": 2, "image": 32, "trunk.blocks": "2 x scan(order = forward)"},
    ),
    "mambavision": ("mambavision", {"dim": 16, "stem_dim": 8, "depths": [1, 1, 2, 2], "image": 64}),
    "vmamba": ("vmamba", {"dim": 16, "depths": [1, 1, 1, 1], "image": (64, 96)}),
    "vmamba with gates": ("vmamba", {"dim": 8, "depths": [1, 1, 1, 1], "image": 64, "mixing": "ss2d_z"}),
}


def architecture(name: str) -> Architecture:
    arch, parameters = SMALL[name]
    overrides = {k: v for k, v in parameters.items() if "." in k}
    return archdsl.load(
        arch, overrides=overrides, classes=3, **{k: v for k, v in parameters.items() if "." not in k}
    )  # type: ignore[arg-type]


def written(tmp_path: Path, blocks: str, **parameters: object) -> Architecture:
    path = tmp_path / "a.arch"
    path.write_text(SPEC.format(blocks=blocks))
    return archdsl.load(str(path), classes=3, **parameters)  # type: ignore[arg-type]


def pair(arch: Architecture, dtype: torch.dtype = torch.float64) -> tuple[Model, Model]:
    """The model as it is built, and its twin of single parts."""
    models = []
    for passes in (PASSES, UNFUSED):
        torch.manual_seed(0)
        models.append(compile_model(arch, passes=passes).to(dtype).eval())
    return models[0], models[1]


def images_of(arch: Architecture, dtype: torch.dtype = torch.float64, batch: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, *arch.image, generator=draw, dtype=torch.float64).to(dtype)


def fused_nodes(arch: Architecture) -> dict[str, int]:
    """How often each kind of fused operator stands in an architecture after the passes."""
    found: dict[str, int] = {}
    for _, top in run_passes(arch).top():
        for node in top.walk():
            where, _, name = node.op.module.partition(":")
            if where == "archdsl.nn.fused":
                found[name] = found.get(name, 0) + 1
    return found


def calls(monkeypatch: pytest.MonkeyPatch, model: nn.Module, *args: object) -> int:
    """How often the fused operator runs in a call."""
    count = 0
    real = fused.mamba_inner

    def counted(*args: object) -> Tensor:
        nonlocal count
        count += 1
        return real(*args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(fused, "mamba_inner", counted)
        model(*args)
    return count


def compare(arch: Architecture, dtype: torch.dtype = torch.float64, tolerance: float = 1e-12) -> None:
    """Output, and the gradients of all parameters and of the images."""
    found, wanted = pair(arch, dtype)
    results = []
    for model in (found, wanted):
        images = images_of(arch, dtype).requires_grad_()
        y = model(images)
        results.append((y, *torch.autograd.grad(y.square().sum(), [images, *model.parameters()])))
    names = ["output", "images", *(name for name, _ in found.named_parameters())]
    for name, a, b in zip(names, *results, strict=True):
        assert (a - b).abs().max() <= tolerance * b.abs().max().clamp(min=1e-2), name


@pytest.mark.parametrize("name", SMALL)
def test_equal_to_single_parts(name: str) -> None:
    arch = architecture(name)
    assert fused_nodes(arch)
    compare(arch)


@pytest.mark.parametrize("name", ["mamba_r", "mambavision", "vmamba"])
def test_close_in_float32(name: str) -> None:
    compare(architecture(name), torch.float32, 1e-4)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mamba_r_tiny", {"FusedChain": 48, "FusedRouted": 24, "FusedSplit": 24}),
        ("vim_tiny", {"FusedChain": 48, "FusedRouted": 24, "FusedSplit": 24}),
        ("mambavision_t", {"FusedChain": 6}),
        ("vmamba_t", {"FusedRouted": 14}),
        ("mambaout_femto", {}),
        ("mila_t", {}),
        ("vit_ti", {}),
    ],
)
def test_found_in_published_architectures(name: str, count: dict[str, int]) -> None:
    assert fused_nodes(archdsl.load(name)) == count


ORDERS = (
    "rows",
    "reverse(rows)",
    "columns",
    "reverse(columns)",
    "snake",
    "local(2)",
    "reverse(local(2, columns))",
)


@settings(max_examples=12, deadline=None)
@given(
    orders=st.lists(st.sampled_from(ORDERS), min_size=1, max_size=4),
    conv=st.sampled_from(
        ["", "conv1d(4, causal) -> silu -> ", "conv1d(3, bias = off) -> silu -> ", "conv1d(1) -> silu -> "]
    ),
    gate=st.sampled_from(["split({}, silu, merge = multiply)", "split({}, silu, merge = concat)", "{}"]),
    state=st.integers(1, 4),
    twice=st.booleans(),
    merge=st.sampled_from(["mean", "add"]),
    at=st.sampled_from(["start", "middle", "even", "end"]),
    image=st.sampled_from([(32, 32), (24, 40), (48, 16)]),
)
def test_equal_whatever_is_combined(
    orders: list[str],
    conv: str,
    gate: str,
    state: int,
    twice: bool,
    merge: str,
    at: str,
    image: tuple[int, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scan = f"selective_scan({state}{', dt_bias = twice' if twice else ''})"
    routed = f"routed({conv}{scan}, order = [{', '.join(orders)}], merge = {merge})"
    blocks = f"residual(linear(24) -> {gate.format(routed)} -> linear(12))"
    arch = written(tmp_path_factory.mktemp("arch"), blocks, image=image, at=at)
    compare(arch, tolerance=1e-11)


@pytest.mark.parametrize(
    ("blocks", "found"),
    [
        ("scan(order = both)", {"FusedChain": 2, "FusedRouted": 1, "FusedSplit": 1}),
        ("residual(conv1d(3) -> silu -> selective_scan(2) -> linear)", {"FusedResidual": 1}),
        ("residual(partial(conv1d(3) -> silu -> selective_scan(2), channels = 4))", {"FusedPartial": 1}),
        ("residual(split(selective_scan(2), silu, merge = multiply) -> linear(12))", {"FusedSplit": 1}),
        ("residual(routed(selective_scan(2), order = [local(2), snake]))", {"FusedRouted": 1}),
        (
            "residual(routed(shared(routed(selective_scan(2), order = both)), order = both))",
            {"FusedRouted": 2},
        ),
        ("residual(routed(selective_scan(2), order = local(3)))", {}),
        ("residual(routed(selective_scan(2), order = both, restore = off))", {}),
        ("residual(routed(selective_scan(2), order = [columns, rows], restore = off))", {}),
        ("residual(routed(shared(conv1d(3) -> silu) -> selective_scan(2), order = both))", {}),
        ("residual(routed(conv1d(3) -> gelu -> selective_scan(2), order = both))", {}),
        ("residual(conv1d(3) -> selective_scan(2))", {}),
        ("residual(conv2d(3, depthwise) -> silu -> selective_scan(2))", {}),
        ("residual(conv1d(3) -> silu -> drop_path(0.5) -> selective_scan(2))", {}),
        ("residual(other(2))", {}),
        ("residual(split(selective_scan(2), gelu, merge = multiply) -> linear(12))", {}),
        ("residual(split(silu, selective_scan(2), merge = multiply) -> linear(12))", {}),
        ("residual(split(selective_scan(2), silu, merge = add) -> linear(12))", {}),
        ("residual(split(selective_scan(2), silu, linear, merge = multiply) -> linear(12))", {}),
        ("residual(selective_scan(2))", {}),
        (
            "residual(windowed(conv1d(3) -> silu -> selective_scan(2), window = 2, shift = 1, pad = on))",
            {"FusedWindowed": 1},
        ),
    ],
)
def test_found_where_it_fits(blocks: str, found: dict[str, int], tmp_path: Path) -> None:
    arch = written(tmp_path, blocks, image=32)
    assert fused_nodes(arch) == found
    compare(arch)


@pytest.mark.parametrize("name", SMALL)
def test_names_weights_and_cost_stay(name: str) -> None:
    arch = architecture(name)
    found, wanted = pair(arch)
    assert [n for n, _ in found.named_modules()] == [n for n, _ in wanted.named_modules()]
    assert [n for n, _ in found.named_buffers()] == [n for n, _ in wanted.named_buffers()]
    for (n, a), (m, b) in zip(found.state_dict().items(), wanted.state_dict().items(), strict=True):
        assert n == m
        assert torch.equal(a, b)
    assert found.kernels() == wanted.kernels()
    assert sum(p.numel() for p in found.parameters()) == arch.cost().params
    for mine, theirs in (
        (fused.FusedRouted, fused.Routed),
        (fused.FusedSplit, fused.Split),
        (fused.FusedChain, fused.Chain),
    ):
        assert {n for n in dir(mine) if n[0] != "_"} == {n for n in dir(theirs) if n[0] != "_"}, (
            "parts may have any name"
        )


def test_build_can_leave_it_out() -> None:
    modules = {
        fuse: {type(m).__name__ for m in archdsl.build("vim_tiny", image=32, fuse=fuse).modules()}
        for fuse in (True, False)
    }
    assert "FusedSplit" in modules[True]
    assert not any(name.startswith("Fused") for name in modules[False])


@pytest.mark.parametrize("name", ["mamba_r", "vmamba"])
def test_other_images_and_features_on_the_way(name: str) -> None:
    arch = architecture(name)
    found, wanted = pair(arch)
    images = torch.randn(1, 3, 96, 64, dtype=torch.float64)
    for a, b in zip(
        found.forward_intermediates(images)[1], wanted.forward_intermediates(images)[1], strict=True
    ):
        torch.testing.assert_close(a, b)


def test_zero_slots_of_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = "residual(routed(selective_scan(2), order = [local(2), rows]))"
    found, wanted = pair(written(tmp_path, blocks, image=32))
    assert calls(monkeypatch, found, torch.randn(1, 3, 32, 32, dtype=torch.float64)) == 1
    images = torch.randn(1, 3, 40, 24, dtype=torch.float64)
    torch.testing.assert_close(found(images), wanted(images))
    assert calls(monkeypatch, found, images) == 0


def test_hooks_and_exchanged_parts_run(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = architecture("mamba_r")
    found, wanted = pair(arch)
    images = images_of(arch)
    assert calls(monkeypatch, found, images) == 2
    seen: list[str] = []
    for model in (found, wanted):
        for name, module in model.named_modules():
            if name.endswith(("rows", "rows.silu", "x_proj", "dt_proj", "inner", "conv1d")):
                module.register_forward_hook(lambda m, a, y, name=name: seen.append(name))
    torch.testing.assert_close(found(images), wanted(images))
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]
    assert {name.rpartition(".")[2] for name in seen} == {"conv1d", "inner", "rows", "silu", "x_proj"}

    found, _ = pair(arch)
    scan = found.get_submodule("stages.trunk.blocks.0.residual.mamba.split.inner.rows.selective_scan")
    before = found(images)
    scan.x_proj = nn.Sequential(scan.x_proj, nn.Hardtanh(-1e-3, 1e-3))
    assert calls(monkeypatch, found, images) == 2, "the other block, and the other route alone"
    assert not torch.allclose(found(images), before)


def test_the_kernels_are_told(tmp_path: Path) -> None:
    for name in ("mamba_r", "mambavision", "vmamba"):
        arch = architecture(name)
        found, wanted = pair(arch, torch.float32)
        images = images_of(arch, torch.float32)
        assert watch(found, images).kernels == watch(wanted, images).kernels != {}
    blocks = "residual(routed(selective_scan(2), order = local(2)))"
    model, _ = pair(written(tmp_path, blocks, image=32), torch.float32)
    assert watch(model, torch.randn(1, 3, 40, 40)).kernels.keys() == {"s1"}


@pytest.mark.parametrize("name", ["mamba_r", "mambavision", "vmamba"])
def test_handled_as_any_module(name: str) -> None:
    arch = architecture(name)
    model, wanted = pair(arch, torch.float32)
    images = images_of(arch, torch.float32)
    y = model(images)
    torch.testing.assert_close(copy.deepcopy(model)(images), y)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    torch.testing.assert_close(torch.load(file, weights_only=False)(images), y)
    with torch.autocast("cpu", torch.bfloat16):
        low, other = model(images), wanted(images)
    assert low.dtype == other.dtype
    assert (low - other).abs().max() <= 0.05 * other.abs().max()
    low, other = (m.bfloat16()(images.bfloat16()) for m in (copy.deepcopy(model), wanted))
    assert low.dtype == torch.bfloat16
    assert (low - other).abs().max() <= 0.08 * other.abs().max()


def test_autocast_reaches_every_weight() -> None:
    arch = architecture("mamba_r")
    model, _ = pair(arch, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        model(images_of(arch, torch.float32)).sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_activations(reentrant: bool) -> None:
    arch = architecture("mamba_r")
    model, wanted = pair(arch)
    images = images_of(arch).requires_grad_()
    checkpoint(model, images, use_reentrant=reentrant).square().sum().backward()
    wanted(images).square().sum().backward()
    for found, expected in zip(model.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


@pytest.mark.parametrize(
    "blocks",
    [
        "scan(order = both)",
        "residual(linear -> conv1d(3) -> silu -> selective_scan(2, dt_bias = twice))",
        "residual(routed(selective_scan(2), order = cross, merge = add))",
    ],
)
def test_compiled_and_exported(blocks: str, tmp_path: Path) -> None:
    arch = written(tmp_path, blocks, image=32)
    model, _ = pair(arch, torch.float32)
    images = images_of(arch, torch.float32)
    expected = model(images)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), expected)
    program = torch.export.export(
        model, (images,), dynamic_shapes=({0: torch.export.Dim("b", min=1, max=64)},)
    )
    names = {str(n.target) for n in program.graph.nodes}
    assert "archdsl.mamba_inner.default" in names
    other = images_of(arch, torch.float32, batch=5)
    torch.testing.assert_close(program.module()(other), model(other))


def test_linear_maps_are_of_torch_in_all_but_their_products() -> None:
    arch = architecture("mamba_r")
    built, plain = archdsl.build(arch), archdsl.build(arch, fuse=False)
    assert {type(m) for m in built.modules() if isinstance(m, nn.Linear)} == {Linear, StepSizes}
    assert {type(m) for m in plain.modules() if isinstance(m, nn.Linear)} == {nn.Linear, StepSizes}
    assert built.state_dict().keys() == plain.state_dict().keys()
    for model, kind in ((built, Linear), (plain, nn.Linear)):
        model.reset_classifier(5)
        assert type(model.get_submodule("head.linear")) is kind


@pytest.mark.parametrize(("slower", "shown"), [(None, True), ("it loses the race", False)])
def test_the_kernel_of_linear_maps_is_told_where_it_is_not_pytorchs(slower: str | None, shown: bool) -> None:
    kernel = Kernel(reference.forward, reference.by_input, reference.by_weight)
    own = Candidate("own", lambda: None, lambda c: None, lambda: kernel, ("cpu",), slower=lambda c: slower)
    arch = archdsl.load("vit_ti", image=32, depth=1)
    images = images_of(arch, torch.float32, batch=16)
    with LADDER.with_candidates(own):
        seen = watch(archdsl.build(arch), images)
        assert ("own" in seen.kernels.get("trunk", [])) == shown
        assert not seen.passed_over
        assert not watch(archdsl.build(arch, fuse=False), images).kernels
