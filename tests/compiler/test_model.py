"""What a model offers: paths, features, heads, drop path, kernels."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import archdsl
from archdsl.compiler import features_only

MAMBA_R: dict[str, Any] = {"dim": 32, "depth": 4, "registers": 4, "image": (64, 96), "classes": 5}
HYBRID: dict[str, Any] = {"dim": 16, "image": 112, "classes": 5}
MAMBAOUT: dict[str, Any] = {
    "dims": (16, 24, 32, 40),
    "depths": (1, 1, 2, 1),
    "image": (64, 96),
    "classes": 5,
}


@pytest.fixture(scope="module")
def hybrid() -> archdsl.Model:
    torch.manual_seed(0)
    return archdsl.build("hybrid", **HYBRID).eval()


@pytest.fixture(scope="module")
def mamba_r() -> archdsl.Model:
    torch.manual_seed(0)
    return archdsl.build("mamba_r", **MAMBA_R).eval()


def test_paths_are_those_of_the_spec(mamba_r: archdsl.Model, hybrid: archdsl.Model) -> None:
    for path in ("stem.patch_embed", "stages.trunk.blocks.0.residual.norm", "head.linear"):
        assert mamba_r.get_submodule(path)
    for path in ("stages.s2.downsample.conv2d", "stages.s3.blocks.11.residual_2.mlp", "head.concat"):
        assert hybrid.get_submodule(path)


def test_forward_is_features_then_head(hybrid: archdsl.Model) -> None:
    images = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        tokens = hybrid.forward_features(images)
        assert tokens.shape == (2, hybrid.architecture.stages[-1].feature.tokens, 128)
        assert torch.equal(hybrid.forward_head(tokens), hybrid(images))
        vector = hybrid.forward_head(tokens, pre_logits=True)
        assert torch.equal(hybrid.get_submodule("head.linear")(vector), hybrid(images))


def test_head_on_tokens_of_another_size(mamba_r: archdsl.Model) -> None:
    images = torch.randn(1, 3, 96, 160)
    with torch.no_grad():
        assert torch.equal(mamba_r.forward_head(mamba_r.forward_features(images)), mamba_r(images))


def test_registers_are_where_the_size_puts_them(mamba_r: archdsl.Model) -> None:
    """A model built for one size and used at another equals one built for that size, positions resized."""
    other = archdsl.build("mamba_r", **{**MAMBA_R, "image": (96, 160)}).eval()
    archdsl.load_weights(other, _grown(mamba_r))
    images = torch.randn(1, 3, 96, 160)
    with torch.no_grad():
        torch.testing.assert_close(mamba_r(images), other(images), rtol=1e-5, atol=1e-6)


def _grown(model: archdsl.Model) -> dict[str, torch.Tensor]:
    """The model's weights with its positions resized to 6 x 10 by hand."""
    weights = dict(model.state_dict())
    table = weights["stem.position.weight"].reshape(1, 4, 6, -1).permute(0, 3, 1, 2)
    grown = torch.nn.functional.interpolate(table, size=(6, 10), mode="bicubic", align_corners=False)
    weights["stem.position.weight"] = grown.permute(0, 2, 3, 1).flatten(1, 2)
    return weights


def test_intermediates_of_a_hierarchy(hybrid: archdsl.Model) -> None:
    images = torch.randn(2, 3, 112, 112)
    with torch.no_grad():
        tokens, maps = hybrid.forward_intermediates(images)
        assert torch.equal(tokens, hybrid.forward_features(images))
        assert [tuple(m.shape) for m in maps] == [
            (2, 16, 28, 28),
            (2, 32, 14, 14),
            (2, 64, 7, 7),
            (2, 128, 4, 4),
        ]
        last = hybrid.forward_intermediates(images, indices=2, intermediates_only=True)
        assert len(last) == 2
        assert torch.equal(last[1], maps[3])
        early, one = hybrid.forward_intermediates(images, indices=[-3], stop_early=True)
        assert torch.equal(one[0], maps[1])
        assert early.shape[-1] == 32
        nlc = hybrid.forward_intermediates(images, [3], output_fmt="NLC", intermediates_only=True)[0]
        nhwc = hybrid.forward_intermediates(images, [3], output_fmt="NHWC", intermediates_only=True)[0]
        assert torch.equal(nlc, maps[3].flatten(2).transpose(1, 2))
        assert torch.equal(nhwc, maps[3].permute(0, 2, 3, 1))
        place, extras = hybrid.forward_intermediates(
            images, [3], intermediates_only=True, return_prefix_tokens=True
        )[0]
        assert torch.equal(place, maps[3])
        assert extras.shape == (2, 5, 128)


def test_intermediates_of_one_stage_count_blocks(mamba_r: archdsl.Model) -> None:
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        tokens, maps = mamba_r.forward_intermediates(images, norm=True)
        assert len(maps) == 4
        assert maps[0].shape == (1, 32, 4, 6)
        normed = mamba_r.get_submodule("head.norm")(tokens)
        flat = maps[3].flatten(2).transpose(1, 2)
        keep = [i for i in range(28) if i not in (4, 9, 14, 19)]
        torch.testing.assert_close(flat, normed[:, keep])
    assert mamba_r.feature_info.get_dicts()[1] == {
        "module": "stages.trunk.blocks.1",
        "num_chs": 32,
        "reduction": 16,
    }


def test_windows_around_a_stage_are_left_behind_every_block() -> None:
    model = archdsl.build(
        "mamba_r",
        **MAMBA_R,
        overrides={"trunk.within": "windows(3, pad = on)"},
    ).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        tokens, maps = model.forward_intermediates(images)
        assert torch.equal(tokens, model.forward_features(images))
        assert torch.equal(model.forward_head(tokens), model(images))
        assert [tuple(m.shape) for m in maps] == [(2, 32, 4, 6)] * 4


def test_wrong_indices(hybrid: archdsl.Model) -> None:
    images = torch.randn(1, 3, 112, 112)
    for wrong in (0, 5, [4], [-5]):
        with pytest.raises(ValueError, match="feature map"):
            hybrid.forward_intermediates(images, wrong)
    with pytest.raises(ValueError, match="output_fmt"):
        hybrid.forward_intermediates(images, output_fmt="CHW")


def test_features_only_as_timm_tells_it() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("mambaout_femto", features_only=True, out_indices=(1, 3)).eval()
    model = archdsl.build("mambaout_femto", image=224).eval()
    ours = features_only(model, (1, 3))
    assert ours.feature_info.channels() == theirs.feature_info.channels()
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()
    archdsl.load_weights(model, timm.create_model("mambaout_femto").state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = timm_maps(model, images)
        assert all(torch.equal(a, b) for a, b in zip(ours(images), expected, strict=True))


def timm_maps(model: archdsl.Model, images: torch.Tensor) -> list[torch.Tensor]:
    """The maps of timm's model with our weights, stages 2 and 4."""
    from archdsl.weights import to_layout

    theirs = timm.create_model("mambaout_femto").eval()
    theirs.load_state_dict(to_layout(model, "mambaout_timm"))
    maps = theirs.forward_intermediates(images, indices=[1, 3], intermediates_only=True)
    mine = model.forward_intermediates(images, indices=[1, 3], intermediates_only=True)
    for a, b in zip(mine, maps, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    return mine


def test_a_new_classifier_leaves_the_rest() -> None:
    model = archdsl.build("mambaout_femto", **MAMBAOUT).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        before = model.forward_head(model.forward_features(images), pre_logits=True)
        model.reset_classifier(11)
        assert model(images).shape == (2, 11)
        assert torch.equal(model.forward_head(model.forward_features(images), pre_logits=True), before)
    assert model.num_classes == model.architecture.classes == 11
    assert model.architecture.cost().params == sum(p.numel() for p in model.parameters())
    with pytest.raises(ValueError, match="at least 1 class"):
        model.reset_classifier(0)


def test_without_a_head_tokens_come_out() -> None:
    model = archdsl.build("mamba_r", **MAMBA_R, overrides={"head": "none"})
    assert model(torch.randn(1, 3, 64, 96)).shape == (1, 28, 32)
    assert model.num_classes == 0


def test_drop_path_grows_over_the_blocks() -> None:
    model = archdsl.build("mambaout", **MAMBAOUT, drop_path=0.4)
    rates = {path: m.drop_prob for path, m in model.named_modules() if path.endswith("drop_path")}
    assert list(rates.values()) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert not any(path.startswith("stages.s1") for path in rates)


def test_drop_path_works_in_training_only() -> None:
    torch.manual_seed(0)
    model = archdsl.build("mamba_r", **MAMBA_R, overrides={"drop_path": "0.9"})
    images = torch.randn(1, 3, 64, 96).repeat(8, 1, 1, 1)
    with torch.no_grad():
        still = model.eval()(images)
        moving = model.train()(images)
    assert torch.allclose(still[0], still[7], atol=1e-6)
    assert not torch.allclose(moving, moving[:1].expand_as(moving), atol=1e-6)


def test_a_rate_that_was_given_stays(tmp_path: Path) -> None:
    spec = tmp_path / "given.arch"
    spec.write_text(
        "block given { residual mlp -> drop_path(0.25)\n residual mlp -> drop_path }\n"
        "arch given_rates(dim = 8, drop_path = 0.1) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage only { blocks = 3 x given }\n"
        "  head = pool(mean) -> linear(classes)\n"
        "}\n"
    )
    model = archdsl.build(spec, image=32)
    rates = [m.drop_prob for path, m in model.named_modules() if path.endswith("drop_path")]
    assert rates == pytest.approx([0.25, 0.25, 0.05, 0.25, 0.1])


def test_kernels_are_named_for_every_scan(mamba_r: archdsl.Model) -> None:
    served = mamba_r.kernels()
    assert len(served) == 8
    assert "stages.trunk.blocks.0.residual.mamba.split.inner.rows.selective_scan" in served
    reference = archdsl.build("mamba_r", **MAMBA_R, backend="reference")
    assert set(reference.kernels().values()) == {"reference"}
    with pytest.raises(ValueError, match=r"there is no backend 'abacus': one of auto, .*reference"):
        archdsl.build("mamba_r", **MAMBA_R, backend="abacus").kernels()


def test_kernels_serve_sums_along_the_sequence_too(tmp_path: Path) -> None:
    spec = tmp_path / "sums.arch"
    spec.write_text(
        "block attending(causal) { residual linear_attention(2, causal) }\n"
        "arch sums(dim = 8) {\n"
        "  stem = patch_embed(8, dim)\n"
        "  stage only { blocks = attending(off) + attending(on) + scan(order = both) }\n"
        "  head = pool(mean) -> linear(classes)\n"
        "}\n"
    )
    model = archdsl.build(spec, image=32, backend="reference")
    served = model.kernels()
    assert [path.split(".")[3] for path in served] == ["1", "2", "2"]
    assert set(served.values()) == {"reference"}
    causal = model.get_submodule("stages.only.blocks.1.residual.linear_attention")
    assert causal.backend == "reference"


def test_names_that_torch_uses(tmp_path: Path) -> None:
    spec = tmp_path / "names.arch"
    spec.write_text(
        "mixer half(dim) = linear(dim)\n"
        "block double { residual half -> half }\n"
        "arch names(dim = 8) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage train { blocks = 2 x double }\n"
        "  head = pool(mean) -> linear(classes)\n"
        "}\n"
    )
    model = archdsl.build(spec, image=32)
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 1000)
    assert model.eval().training is False
    assert len(model.feature_info) == 2
    archdsl.load_weights(archdsl.build(spec, image=32), model.state_dict())


def test_copies_are_independent(mamba_r: archdsl.Model) -> None:
    twin = copy.deepcopy(mamba_r)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        before = mamba_r(images)
        twin.reset_classifier(3)
        assert twin(images).shape == (1, 3)
        assert torch.equal(mamba_r(images), before)


def test_an_architecture_is_complete() -> None:
    architecture = archdsl.load("mamba_r", **MAMBA_R)
    assert archdsl.build(architecture, device="meta").architecture is architecture
    with pytest.raises(TypeError, match="complete"):
        archdsl.build(architecture, depth=3)


@pytest.mark.parametrize("shape", [(3, 64, 96), (1, 1, 64, 96), (1, 64, 96, 3)])
def test_tensors_that_hold_no_images(mamba_r: archdsl.Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"mamba_r takes images \(batch, 3, height, width\)"):
        mamba_r(torch.zeros(shape))


def test_a_head_put_in_place_of_the_other_is_the_one_that_runs() -> None:
    """As PyTorch's wrappers do it, and people who want features."""
    model = archdsl.build("mamba_r", **MAMBA_R).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        vector = model.forward_head(model.forward_features(images), pre_logits=True)
        whole, model.head = model.head, torch.nn.Identity()
        assert torch.equal(model(images), model.forward_features(images))
        model.head = torch.nn.Sequential()
        assert torch.equal(model(images), model.forward_features(images))
        model.head = whole
        model.get_submodule("head").linear = torch.nn.Linear(vector.shape[1], 3)
        assert model(images).shape == (2, 3)


def test_replicas_run_their_own_head() -> None:
    """torch.nn.DataParallel makes shallow copies and gives them modules of their own."""
    model = archdsl.build("mamba_r", **MAMBA_R).eval()
    replica = model._replicate_for_data_parallel()
    replica.head = copy.deepcopy(model.head)
    with torch.no_grad():
        for weight in replica.head.parameters():
            weight.zero_()
        assert not replica(torch.randn(1, 3, 64, 96)).any()


def test_an_image_smaller_than_a_patch_is_refused_in_words(mamba_r: archdsl.Model) -> None:
    with pytest.raises(ValueError, match="a patch of 16 x 16 does not fit into 8 x 40: use a larger image"):
        mamba_r(torch.randn(1, 3, 8, 40))


def test_no_image_gives_no_logits(mamba_r: archdsl.Model) -> None:
    assert mamba_r(torch.randn(0, 3, 64, 96)).shape == (0, 5)


@pytest.mark.parametrize("device", ["zz", 3.5])
def test_a_device_that_is_none_is_refused_in_words(device: Any) -> None:
    with pytest.raises(ValueError, match=f"there is no device {device!r}"):
        archdsl.build("mamba_r", **MAMBA_R, device=device)


def test_under_autocast_the_residual_stream_of_mamba_r_is_float32(mamba_r: archdsl.Model) -> None:
    types = set()
    blocks = [block for stage in mamba_r.stages.values() for block in stage.blocks.children()]
    hooks = [block.register_forward_hook(lambda m, x, s: types.add(s.x.dtype)) for block in blocks]
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mamba_r(torch.randn(1, 3, 64, 96))
    for hook in hooks:
        hook.remove()
    assert types == {torch.float32}


@pytest.mark.parametrize(
    ("name", "small", "wanted"),
    [
        ("vim", {"dim": 16, "depth": 2, "stride": 8, "image": 64}, [8, 8]),
        ("vim", {"dim": 16, "depth": 2, "image": (70, 40)}, [16, 16]),
        ("mila", {"dim": 16, "depths": [1, 1, 1, 1], "image": (61, 83)}, [4, 8, 16, 32]),
        ("mambavision", {"dim": 8, "stem_dim": 8, "depths": [1, 1, 1, 1], "image": (61, 83)}, [4, 8, 16, 32]),
    ],
)
def test_the_reduction_is_that_of_the_strides_whatever_the_image(
    name: str, small: dict[str, Any], wanted: list[int]
) -> None:
    model = archdsl.build(name, device="meta", **small)
    assert model.feature_info.reduction() == wanted
