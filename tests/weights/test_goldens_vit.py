"""ViT and timm's model give equal tokens behind every block and equal logits, with weights exchanged."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.weights import load_weights, to_layout

SIZES = {"vit_ti": (192, 3), "vit_s": (384, 6), "vit_b": (768, 12)}
TIMM = {"vit_ti": "vit_tiny", "vit_s": "vit_small", "vit_b": "vit_base"}
IMAGE = (48, 80)


def _theirs(
    image: tuple[int, int] = IMAGE, dim: int = 24, heads: int = 3, **config: Any
) -> VisionTransformer:
    """timm's model of 2 blocks, every tensor away from its initial value."""
    torch.manual_seed(0)
    config = {"depth": 2, "num_classes": 7} | config
    model = VisionTransformer(img_size=image, embed_dim=dim, num_heads=heads, **config).eval()
    _shake(model)
    return model


@torch.no_grad()
def _shake(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))


def _ours(image: tuple[int, int] = IMAGE, name: str = "vit", **overrides: Any) -> archdsl.Model:
    changes = {"dim": "24", "heads": "3", "depth": "2"} | overrides
    return archdsl.build(name, image=image, classes=7, overrides=changes).eval()


def _close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def _exchange(ours: archdsl.Model, theirs: VisionTransformer, layout: str = "vit_timm") -> None:
    """Equal tokens and logits, and the weights back under their keys, bit by bit."""
    weights = theirs.state_dict()
    report = load_weights(ours, weights)
    assert report.complete
    assert report.layout == layout
    images = torch.randn(2, 3, *ours.architecture.image)
    with torch.no_grad():
        expected, found = theirs(images), ours(images)
        maps, features = (m.forward_intermediates(images, intermediates_only=True) for m in (ours, theirs))
        assert len(maps) == len(features) == 2
        for ours_after, theirs_after in zip(maps, features, strict=True):
            _close(ours_after, theirs_after)
    _close(found, expected)
    back = to_layout(ours, layout)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], value) for key, value in weights.items())


@pytest.mark.parametrize("name", SIZES)
def test_the_shipped_sizes(name: str) -> None:
    dim, heads = SIZES[name]
    ours = archdsl.build(name, image=(32, 48), classes=7, depth=2)
    _exchange(ours.eval(), _theirs((32, 48), dim, heads))


@pytest.mark.parametrize("name", SIZES)
def test_every_registered_model_has_our_keys_and_shapes_and_cost(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(f"{TIMM[name]}_patch16_224").eval()
    ours = to_layout(archdsl.build(name, device="meta"), "vit_timm")
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        theirs(torch.empty(1, 3, 224, 224, device="meta"))
    cost = archdsl.load(name).cost()
    assert cost.params == sum(p.numel() for p in theirs.parameters())
    assert 2 * cost.macs.total == counted.get_total_flops()


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "patches of 8": ({"patch_size": 8}, {"patch": "8"}),
    "no bias of q, k and v": ({"qkv_bias": False}, {"qkv_bias": "off"}),
    "norms of q and k": ({"qk_norm": True}, {"qk_norm": "on"}),
    "a wider mlp": ({"mlp_ratio": 5.0}, {"mlp_ratio": "5"}),
    "layer scale": ({"init_values": 1e-5}, {"layer_scale": "1e-5"}),
    "registers": (
        {"reg_tokens": 4},
        {"stem": "patch_embed(16, dim) -> class_token -> registers(4, at = start) -> position(learned)"},
    ),
    "registers without positions": (
        {"reg_tokens": 4, "no_embed_class": True},
        {"stem": "patch_embed(16, dim) -> position(learned) -> class_token -> registers(4, at = start)"},
    ),
    "mean of the patches, norm before": (
        {"class_token": False, "global_pool": "avg", "fc_norm": False},
        {
            "stem": "patch_embed(16, dim) -> position(learned)",
            "head": "norm -> pool(mean) -> linear(classes)",
        },
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants(variant: str) -> None:
    config, overrides = VARIANTS[variant]
    _exchange(_ours(**overrides), _theirs(**config))


@pytest.mark.parametrize("class_token", [False, True])
def test_mean_of_the_patches_and_norm_behind(class_token: bool) -> None:
    token = "-> class_token -> position(learned)" if class_token else "-> position(learned)"
    ours = _ours(stem=f"patch_embed(16, dim) {token}", head="pool(mean) -> norm -> linear(classes)")
    theirs = _theirs(class_token=class_token, global_pool="avg")
    _exchange(ours, theirs, "vit_timm_pooled")


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("output_fmt", ["NCHW", "NLC"])
def test_maps_behind_every_block(output_fmt: str, norm: bool) -> None:
    """At the size of the model and at others, with the class token beside them."""
    theirs = _theirs()
    ours = _ours()
    load_weights(ours, theirs.state_dict())
    images = torch.randn(2, 3, *IMAGE)
    options: dict[str, Any] = {"norm": norm, "output_fmt": output_fmt, "return_prefix_tokens": True}
    with torch.no_grad():
        _, maps = ours.forward_intermediates(images, **options)
        _, expected = theirs.forward_intermediates(images, **options)
    assert maps[0][0].shape == ((2, 24, 3, 5) if output_fmt == "NCHW" else (2, 15, 24))
    for (found, token), (theirs_found, theirs_token) in zip(maps, expected, strict=True):
        _close(found, theirs_found)
        _close(token, theirs_token)


def _resized(theirs: VisionTransformer, image: tuple[int, int], antialias: bool) -> VisionTransformer:
    """The same model for images of another size, its positions resized by timm's function."""
    old, new = theirs.patch_embed.grid_size, (image[0] // 16, image[1] // 16)
    weights = theirs.state_dict()
    table = weights["pos_embed"]
    weights["pos_embed"] = resample_abs_pos_embed(table, list(new), list(old), antialias=antialias)
    model = _theirs(image)
    model.load_state_dict(weights)
    return model


LARGER, SMALLER = (112, 96), (32, 48)


@pytest.mark.parametrize("image", [LARGER, SMALLER])
def test_images_of_another_size(image: tuple[int, int]) -> None:
    """Positions are interpolated bicubically without antialiasing, as timm does where it is told to."""
    theirs = _theirs((64, 64))
    expected = _resized(theirs, image, antialias=False)
    at_run_time, when_loaded = _ours((64, 64)), _ours(image)
    load_weights(at_run_time, theirs.state_dict())
    report = load_weights(when_loaded, theirs.state_dict())
    assert report.resized == (("stem.position.weight", (4, 4), (image[0] // 16, image[1] // 16)),)
    images = torch.randn(2, 3, *image)
    with torch.no_grad():
        for ours in (at_run_time, when_loaded):
            _close(ours(images), expected(images))
            maps, features = (
                m.forward_intermediates(images, intermediates_only=True) for m in (ours, expected)
            )
            for found, theirs_found in zip(maps, features, strict=True):
                _close(found, theirs_found)


@pytest.mark.parametrize(("image", "least", "most"), [(LARGER, 0.05, 0.2), (SMALLER, 0.2, 0.5)])
def test_antialiasing_is_the_only_difference(image: tuple[int, int], least: float, most: float) -> None:
    """timm's own default smooths, and so differs even where the grid grows.

    Of a table of noise, the worst case, by 9 % of its largest entry at 7 x 6 places for 4 x 4 and by 35 % at
    2 x 3.
    """
    theirs = _theirs((64, 64), dynamic_img_size=True)
    ours = _ours(image)
    load_weights(ours, theirs.state_dict())
    images = torch.randn(2, 3, *image)
    smooth = _resized(_theirs((64, 64)), image, antialias=True)
    with torch.no_grad():
        _close(theirs(images), smooth(images))
        table = to_layout(ours, "vit_timm")["pos_embed"]
        difference = (table - smooth.pos_embed).abs().max() / table.abs().max()
    assert torch.equal(table[:, 0], smooth.pos_embed[:, 0])
    assert least < difference < most
    load_weights(ours, smooth.state_dict())
    with torch.no_grad():
        _close(ours(images), theirs(images))


def test_causal_attention_with_the_token_at_the_start() -> None:
    theirs = _theirs()
    ours = _ours(causal="on")
    load_weights(ours, theirs.state_dict())
    images = torch.randn(2, 3, *IMAGE)
    with torch.no_grad():
        features = theirs.forward_features(images, is_causal=True)
        _close(ours(images), theirs.forward_head(features))
        _, maps = ours.forward_intermediates(images, norm=True)
        _close(maps[-1].flatten(2).transpose(1, 2), features[:, 1:])
        assert (features - theirs.forward_features(images)).abs().max() > 0.1


def test_weights_of_a_fully_visible_model_in_a_causal_one() -> None:
    """The class token takes its position with it to the end of the sequence."""
    theirs = _theirs()
    ours = _ours(name="vit_ti_causal")
    weights = theirs.state_dict()
    assert load_weights(ours, weights).complete
    back = to_layout(ours, "vit_timm")
    assert all(torch.equal(back[key], value) for key, value in weights.items())
    images = torch.randn(2, 3, *IMAGE)
    tokens = weights["pos_embed"].shape[1]
    seen = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    seen[0], seen[1:, 0] = True, False
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(images, attn_mask=seen))
        _close(ours(images), expected)


@pytest.mark.parametrize(("name", "causal"), [("vit_ti", False), ("vit_ti_causal", True)])
def test_whether_a_token_depends_on_later_ones(name: str, causal: bool) -> None:
    torch.manual_seed(0)
    model = _ours(name=name)
    _shake(model)
    images = torch.randn(1, 3, *IMAGE)
    changed = images.clone()
    changed[:, :, 16:32, 32:48] += 1
    with torch.no_grad():
        before, after = (
            model.forward_intermediates(x, indices=1, intermediates_only=True, return_prefix_tokens=True)[0]
            for x in (images, changed)
        )
    patches = (before[0] != after[0]).any(1).flatten().tolist()
    first = 1 * 5 + 2
    assert patches == [not causal or i >= first for i in range(15)]
    assert (before[1] != after[1]).any(), "the class token sees every patch"


def test_registers_written_before_the_class_token() -> None:
    """Rows of the published table go by kind, wherever the tokens stand in the sequence."""
    theirs = _theirs(reg_tokens=4)
    stem = "patch_embed(16, dim) -> registers(4, at = even) -> class_token(at = middle) -> position(learned)"
    ours = _ours(stem=stem)
    _exchange(ours, theirs)


@pytest.mark.parametrize("keep", [0, 1])
def test_a_wrong_table_of_positions_is_refused(keep: int) -> None:
    weights = _theirs().state_dict()
    weights["pos_embed"] = weights["pos_embed"][:, :keep]
    with pytest.raises(DiagnosticError) as refused:
        load_weights(_ours(), weights)
    assert [d.code for d in refused.value.diagnostics] == ["E503"]


def test_another_classifier_is_let_off_and_another_norm_is_not() -> None:
    weights = _theirs(num_classes=11).state_dict()
    report = load_weights(_ours(), weights, strict=False)
    assert {m.name for m in report.mismatched} == {"head.linear.weight", "head.linear.bias"}
    del weights["norm.bias"]
    with pytest.raises(DiagnosticError):
        load_weights(_ours(), weights, strict=False)
