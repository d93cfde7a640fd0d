"""Norms of feature maps: applied where maps are taken, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.weights import save_weights, to_layout

NORM = {"feature_norm": "layer_norm"}


def _built(name: str, overrides: dict[str, str], **arguments: object) -> archdsl.Model:
    torch.manual_seed(0)
    return archdsl.build(name, classes=5, overrides=overrides, **arguments).eval()


@pytest.fixture(scope="module")
def normed() -> archdsl.Model:
    """`tiny` with a norm of its own for each stage's maps, away from its initial values."""
    model = _built("tiny", NORM)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "feature_norm" in name:
                p.add_(torch.randn_like(p))
    return model


@pytest.fixture(scope="module")
def images() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 3, 16, 16)


def _raw(model: archdsl.Model) -> archdsl.Model:
    """The same model without the norms of its maps."""
    raw = _built("tiny", {})
    raw.load_state_dict(model.state_dict(), strict=False)
    return raw


def _by_hand(model: archdsl.Model, stage: str, x: Tensor) -> Tensor:
    norm = model.get_submodule(f"stages.{stage}.feature_norm")
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@torch.no_grad()
def test_maps_go_through_it_and_nothing_else_does(normed: archdsl.Model, images: Tensor) -> None:
    raw = _raw(normed)
    assert torch.equal(normed(images), raw(images))
    assert torch.equal(normed.forward_features(images), raw.forward_features(images))
    tokens, maps = normed.forward_intermediates(images)
    plain, raw_maps = raw.forward_intermediates(images)
    assert torch.equal(tokens, plain)
    for stage, ours, before in zip(("s1", "s2"), maps, raw_maps, strict=True):
        torch.testing.assert_close(ours, _by_hand(normed, stage, before))
        assert not torch.allclose(ours, before, atol=0.1)


@torch.no_grad()
def test_features_only_and_every_format_agree(normed: archdsl.Model, images: Tensor) -> None:
    nchw = normed.forward_intermediates(images, intermediates_only=True)
    for a, b in zip(archdsl.features_only(normed)(images), nchw, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(
        normed.forward_intermediates(images, intermediates_only=True, output_fmt="NLC"), nchw, strict=True
    ):
        torch.testing.assert_close(a, b.flatten(2).transpose(1, 2))


@torch.no_grad()
def test_the_norm_of_the_head_is_not_put_on_top(images: Tensor) -> None:
    one = _built("tiny", {"s1.feature_norm": "layer_norm"})
    plain, headed = (
        one.forward_intermediates(images, norm=n, intermediates_only=True) for n in (False, True)
    )
    assert torch.equal(plain[0], headed[0])
    assert not torch.allclose(plain[1], headed[1])
    both = _built("tiny", NORM)
    plain, headed = (
        both.forward_intermediates(images, norm=n, intermediates_only=True) for n in (False, True)
    )
    assert all(torch.equal(a, b) for a, b in zip(plain, headed, strict=True))


@torch.no_grad()
def test_all_blocks_of_a_single_stage_share_it(images: Tensor) -> None:
    small = {"dim": 16, "depth": 3, "image": 32}
    model = _built("mamba_r_tiny", NORM, **small)
    raw = _built("mamba_r_tiny", {}, **small)
    raw.load_state_dict(model.state_dict(), strict=False)
    images = torch.randn(2, 3, 48, 32)
    pairs = model.forward_intermediates(images, intermediates_only=True, return_prefix_tokens=True)
    before = raw.forward_intermediates(images, intermediates_only=True, return_prefix_tokens=True)
    assert len(pairs) == 3
    for (ours, extras), (theirs, registers) in zip(pairs, before, strict=True):
        torch.testing.assert_close(ours, _by_hand(model, "trunk", theirs))
        norm = model.get_submodule("stages.trunk.feature_norm")
        torch.testing.assert_close(extras, norm(registers))


def test_it_stands_behind_the_windows_of_its_stage(tmp_path: Path) -> None:
    path = tmp_path / "cut.arch"
    path.write_text(
        "arch cut {\n  image = 32\n  stem = patch_embed(4, 8) -> class_token(at = start)\n"
        "  stage s1 { dim = 8;  heads = 2;  within = windows(4);  blocks = 2 x attn\n"
        "    feature_norm = batch_norm }\n"
        "  stage s2 { dim = 8;  heads = 2;  blocks = attn }\n  head = none\n}\n",
        encoding="utf-8",
    )
    model = archdsl.build(path).train()
    maps = model.forward_intermediates(torch.randn(4, 3, 32, 32), intermediates_only=True)
    assert maps[0].shape == (4, 8, 8, 8)
    assert maps[0].mean((0, 2, 3)).abs().max() < 0.1


def test_maps_train_it_and_logits_do_not() -> None:
    model = _built("tiny", NORM).train()
    images = torch.randn(4, 3, 16, 16)
    model(images).square().sum().backward()
    norms = {n: p for n, p in model.named_parameters() if "feature_norm" in n}
    assert len(norms) == 4
    assert all(p.grad is None for p in norms.values())
    maps = archdsl.features_only(model)(images)
    sum((m * torch.randn_like(m)).sum() for m in maps).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.any() for p in norms.values())


def test_the_cost_is_that_of_the_module() -> None:
    overrides = {"feature_norm": "layer_norm -> linear(bias = off)"}
    a = archdsl.load("tiny", overrides=overrides, classes=5)
    model = archdsl.build("tiny", overrides=overrides, classes=5, device="meta").eval()
    for (path, _), row in zip(a.top(), a.cost().rows, strict=True):
        assert sum(p.numel() for p in model.get_submodule(path).parameters()) == row.params, path
    with FlopCounterMode(display=False) as counted:
        model.forward_intermediates(torch.empty(1, 3, 16, 16, device="meta"))
    head = a.cost().rows[-1].macs.total
    assert counted.get_total_flops() == 2 * (a.cost().macs.total - head)


def test_initial_weights_are_those_of_a_norm() -> None:
    for init in ("trunc_normal(0.02)", "vim"):
        model = _built("tiny", {**NORM, "init": init})
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                assert (module.weight == 1).all()
                assert (module.bias == 0).all()


@torch.no_grad()
def test_half_precision(images: Tensor) -> None:
    model = _built("tiny", NORM)
    exact = archdsl.features_only(model)(images)
    rough = archdsl.features_only(model.to(torch.bfloat16))(images.bfloat16())
    for a, b in zip(exact, rough, strict=True):
        assert b.dtype == torch.bfloat16
        assert (a - b.float()).abs().max() < 0.1


@torch.no_grad()
def test_feature_maps_compile_as_one_graph(images: Tensor) -> None:
    torch._dynamo.reset()
    maps = archdsl.features_only(_built("tiny", NORM))
    compiled = torch.compile(maps, fullgraph=True, backend="aot_eager")
    for a, b in zip(compiled(images), maps(images), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_weights_of_a_classifier_serve_a_dense_model_and_the_way_back(tmp_path: Path) -> None:
    classifier = _built("tiny", {})
    dense = _built("tiny", {**NORM, "head": "none"})
    fresh = {n: p.clone() for n, p in dense.state_dict().items() if "feature_norm" in n}
    save_weights(classifier, tmp_path / "classifier.safetensors")
    with pytest.raises(DiagnosticError, match=r"don't fit"):
        archdsl.load_weights(dense, tmp_path / "classifier.safetensors")
    report = archdsl.load_weights(dense, tmp_path / "classifier.safetensors", strict=False)
    assert set(report.missing) == set(fresh)
    assert all(name.startswith("head.") for name in report.unexpected)
    for name, tensor in dense.state_dict().items():
        assert torch.equal(tensor, fresh.get(name, classifier.state_dict().get(name))), name
    save_weights(dense, tmp_path / "dense.safetensors")
    report = archdsl.load_weights(classifier, tmp_path / "dense.safetensors", strict=False)
    assert set(report.unexpected) == set(fresh)
    again = _built("tiny", {**NORM, "head": "none"})
    assert archdsl.load_weights(again, tmp_path / "dense.safetensors").complete


def test_published_weights_serve_a_dense_model() -> None:
    small = {"dims": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "image": 64}
    published = to_layout(_built("mambaout_femto", {}, **small), "mambaout")
    dense = _built("mambaout_femto", {**NORM, "head": "none"}, **small)
    report = archdsl.load_weights(dense, published, strict=False)
    assert report.layout == "mambaout"
    assert set(report.missing) == {n for n in dense.state_dict() if "feature_norm" in n}
    assert report.unexpected
