"""Vim reproduces the numbers of the official code, at every feature that a fixture stores.

What the official code can be configured to and no fixture has is held to `families.vim_by_hand`, written
from the model's description, which has to reproduce the fixtures too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from families.official_mamba import (
    assert_reproduced,
    drawn,
    feature_names,
    features,
    image_size,
    read,
    scan_sizes,
)
from families.vim_by_hand import vim

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.graph.architecture import Architecture
from archdsl.weights import load_weights, to_layout

FOLDER = Path(__file__).parents[1] / "data" / "goldens" / "vim"
FIXTURES = sorted(p.stem for p in FOLDER.glob("vim_*.json"))
REAL = "vim_tiny_patch16_224_real"
SMALL = [name for name in FIXTURES if name != REAL]

PLAIN: dict[str, Any] = {
    "patch_size": 16,
    "rms_norm": True,
    "final_pool_type": "mean",
    "if_abs_pos_embed": True,
    "bimamba_type": "v2",
    "if_cls_token": True,
    "if_divide_out": True,
    "use_middle_cls_token": True,
    "img_size": 64,
    "embed_dim": 24,
    "depth": 2,
    "num_classes": 5,
}
WITHOUT_TOKEN: dict[str, Any] = {"if_cls_token": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "middle_of_an_odd_number": {"img_size": (48, 80)},
    "middle_without_division": {"if_divide_out": False, "img_size": (80, 48), "embed_dim": 40},
    "start": {"use_middle_cls_token": False, "img_size": (64, 48)},
    "double": {"use_double_cls_token": True},
    "double_rectangular_layer_norm": {
        "use_double_cls_token": True,
        "use_middle_cls_token": False,
        "rms_norm": False,
        "img_size": (48, 80),
    },
    "layer_scale": {"init_layer_scale": 1e-4},
    "layer_scale_without_division": {"init_layer_scale": 1e-4, "if_divide_out": False, "rms_norm": False},
    "overlapping_and_leftover": {"stride": 10, "img_size": (71, 58)},
    "leftover": {"img_size": (77, 63)},
    "small_patches": {"patch_size": 8, "stride": 8, "img_size": (40, 27)},
    "other_scan": {"ssm_cfg": {"d_state": 5, "d_conv": 3, "expand": 1}, "embed_dim": 17},
    "mean": WITHOUT_TOKEN,
    "max": WITHOUT_TOKEN | {"final_pool_type": "max", "img_size": (64, 48)},
    "one_way": WITHOUT_TOKEN | {"bimamba_type": "none"},
    "no_positions": WITHOUT_TOKEN | {"if_abs_pos_embed": False},
}


def _architecture(config: Mapping[str, Any]) -> Architecture:
    """The spec of a configuration: the shipped arch, changed by parameters and overrides."""
    if "embed_dim" not in config:
        return archdsl.load("vim_tiny", image=image_size(config), classes=config["num_classes"])
    double = config.get("use_double_cls_token", False)
    overrides = {}
    order = "both" if config["bimamba_type"] == "v2" else "forward"
    sizes = scan_sizes(config)
    if order == "forward" or sizes != (16, 4, 2):
        state, conv, expand = sizes
        scan = f"scan(order = {order}, state = {state}, conv = {conv}, expand = {expand})"
        overrides["trunk.blocks"] = f"depth x {scan}"
    if not config["rms_norm"]:
        overrides["norm"] = "layer_norm"
    if "init_layer_scale" in config:
        overrides["layer_scale"] = str(config["init_layer_scale"])
    if not config["if_cls_token"] or config["patch_size"] != 16:
        token = " -> class_token(at)" if config["if_cls_token"] else ""
        positions = " -> position(learned)" if config["if_abs_pos_embed"] else ""
        overrides["stem"] = f"patch_embed({config['patch_size']}, dim, stride){token}{positions}"
    if not config["if_cls_token"]:
        of_logits = config["final_pool_type"] == "max"
        overrides["head"] = (
            "norm -> linear(classes) -> pool(max)" if of_logits else "norm -> pool(mean) -> linear(classes)"
        )
    return archdsl.load(
        "vim",
        overrides=overrides,
        dim=config["embed_dim"],
        depth=config["depth"],
        stride=config.get("stride", 16),
        at="both" if double else "middle" if config["use_middle_cls_token"] else "start",
        merge="mean" if config["if_divide_out"] else "add",
        image=image_size(config),
        classes=config["num_classes"],
    )


def _layout(config: Mapping[str, Any]) -> str:
    return "vim_double" if config.get("use_double_cls_token", False) else "vim"


def _variant(name: str, **changes: Any) -> tuple[archdsl.Model, dict[str, Any]]:
    """A model of a variant with the recipe's weights, and its configuration."""
    config = PLAIN | VARIANTS[name] | changes
    model = archdsl.build(_architecture(config))
    shapes = {k: tuple(v.shape) for k, v in to_layout(model, _layout(config)).items()}
    weights, _ = drawn(shapes, 7, (1,))
    load_weights(model, weights)
    return model, config


def test_no_fixture_is_missing() -> None:
    names = ("vim_small_a_midcls", "vim_small_b_midcls_stride8", "vim_small_c_nocls_mean_nodivide", REAL)
    assert sorted(names) == FIXTURES
    for name in FIXTURES:
        fixture = read(FOLDER, name)
        assert set(fixture.features) == feature_names(fixture, name == REAL)


@pytest.mark.usefixtures("scan_backend")
@pytest.mark.parametrize("name", FIXTURES)
def test_every_stored_feature(name: str) -> None:
    fixture = read(FOLDER, name)
    assert_reproduced(fixture, archdsl.build(_architecture(fixture.config)), "vim")


@pytest.mark.parametrize("name", SMALL)
def test_what_is_written_by_hand_reproduces_the_fixtures(name: str) -> None:
    fixture = read(FOLDER, name)
    weights = {k: v.double() for k, v in fixture.weights.items()}
    found = vim(weights, fixture.stored["input"].double(), fixture.config)
    for feature, value in fixture.features.items():
        torch.testing.assert_close(
            found[feature].float(), value, **fixture.about["suggested_tolerance"], msg=feature
        )


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_of_the_official_code(name: str) -> None:
    model, config = _variant(name)
    model.double()
    weights = {k: v.clone() for k, v in to_layout(model, _layout(config)).items()}
    images = torch.randn(2, 3, *image_size(config), dtype=torch.float64)
    expected = vim(weights, images, config)
    found = features(model, images)
    assert found["output"].std() > 0.1
    for feature, value in expected.items():
        torch.testing.assert_close(
            found[feature], value, rtol=1e-6, atol=1e-6, msg=lambda m, f=feature: f"{f}: {m}"
        )


@pytest.mark.parametrize("name", VARIANTS)
def test_official_keys_come_back(name: str) -> None:
    model, config = _variant(name)
    weights = {k: v.clone() for k, v in to_layout(model, _layout(config)).items()}
    other = archdsl.build(_architecture(config))
    report = load_weights(other, weights)
    assert report.complete
    assert report.layout == _layout(config)
    back = to_layout(other, _layout(config))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[k], v) for k, v in weights.items())


def test_the_keys_are_those_of_the_official_checkpoints() -> None:
    table = to_layout(archdsl.build("vim_tiny", device="meta"), "vim")
    shapes = {k: tuple(v.shape) for k, v in table.items()}
    block = {k.removeprefix("layers.23."): v for k, v in shapes.items() if k.startswith("layers.23.")}
    assert len(shapes) == 415
    assert {k: v for k, v in shapes.items() if not k.startswith("layers.")} == {
        "cls_token": (1, 1, 192),
        "pos_embed": (1, 197, 192),
        "patch_embed.proj.weight": (192, 3, 16, 16),
        "patch_embed.proj.bias": (192,),
        "head.weight": (1000, 192),
        "head.bias": (1000,),
        "norm_f.weight": (192,),
    }
    both = {
        "conv1d{}.weight": (384, 1, 4),
        "conv1d{}.bias": (384,),
        "x_proj{}.weight": (44, 384),
        "dt_proj{}.weight": (384, 12),
        "dt_proj{}.bias": (384,),
        "D{}": (384,),
    }
    assert block == {
        "norm.weight": (192,),
        "mixer.A_log": (384, 16),
        "mixer.A_b_log": (384, 16),
        "mixer.in_proj.weight": (768, 192),
        "mixer.out_proj.weight": (192, 384),
        **{f"mixer.{k.format(s)}": v for k, v in both.items() for s in ("", "_b")},
    }


def test_two_class_tokens_have_keys_of_their_own() -> None:
    model, _ = _variant("double")
    table = to_layout(model, "vim_double")
    tokens = model.get_parameter("stem.class_token.weight")
    assert torch.equal(table["cls_token_head"], tokens[:, :1])
    assert torch.equal(table["cls_token_tail"], tokens[:, 1:])
    assert "cls_token" not in table


@pytest.mark.parametrize(("name", "wrong"), [("double", "vim"), ("start", "vim_double")])
def test_a_layout_of_another_number_of_tokens_is_refused(name: str, wrong: str) -> None:
    model, config = _variant(name)
    with pytest.raises(DiagnosticError, match=r"E503.*no place for 1 tensors"):
        to_layout(model, wrong)
    other = archdsl.build(_architecture(config | {"use_double_cls_token": name != "double"}))
    with pytest.raises(DiagnosticError, match=r"(?s)E503.*stem\.class_token\.weight"):
        load_weights(other, to_layout(model, _layout(config)))


def test_vim_and_mamba_r_are_told_apart() -> None:
    sizes: dict[str, Any] = {"dim": 24, "depth": 1, "image": 64, "classes": 5}
    with_token = archdsl.build("vim", **sizes)
    with_registers = archdsl.build("mamba_r", registers=4, **sizes)
    assert load_weights(with_token, to_layout(with_token, "vim")).layout == "vim"
    assert load_weights(with_registers, to_layout(with_registers, "mamba_r")).layout == "mamba_r"
    with pytest.raises(DiagnosticError, match=r"E503.*Mamba-R"):
        load_weights(with_token, to_layout(with_registers, "mamba_r"))
    with pytest.raises(DiagnosticError, match=r"E503.*Vim"):
        load_weights(with_registers, to_layout(with_token, "vim"))


def test_what_vim_has_no_place_for_is_refused() -> None:
    model, _ = _variant("middle_of_an_odd_number")
    weights = to_layout(model, "vim")
    for key in ("rope.freqs_cos", "layers.0.mixer.gamma"):
        with pytest.raises(DiagnosticError, match=f"(?s)E503.*{key}"):
            load_weights(model, weights | {key: torch.ones(24)})
    del weights["layers.1.mixer.A_b_log"]
    with pytest.raises(DiagnosticError, match=r"(?s)E503.*rows_reverse\.selective_scan\.A_log"):
        load_weights(model, weights)


def _bicubic(rows: torch.Tensor, old: tuple[int, int], new: tuple[int, int]) -> torch.Tensor:
    image = rows.reshape(1, *old, -1).permute(0, 3, 1, 2)
    image = torch.nn.functional.interpolate(image, size=new, mode="bicubic", align_corners=False)
    return image.permute(0, 2, 3, 1).flatten(1, 2)


@pytest.mark.parametrize(
    ("name", "places", "new_places"),
    [
        ("middle_of_an_odd_number", [8], [17]),
        ("start", [0], [0]),
        ("double", [0, 17], [0, 36]),
        ("mean", [], []),
    ],
)
def test_positions_of_another_grid(name: str, places: list[int], new_places: list[int]) -> None:
    trained, config = _variant(name, img_size=64)
    larger = archdsl.build(_architecture(config | {"img_size": (80, 112)}))
    report = load_weights(larger, to_layout(trained, _layout(config)))
    assert report.resized == (("stem.position.weight", (4, 4), (5, 7)),)
    old = trained.get_parameter("stem.position.weight")
    new = larger.get_parameter("stem.position.weight")
    patches = [i for i in range(old.shape[1]) if i not in places]
    new_patches = [i for i in range(new.shape[1]) if i not in new_places]
    assert torch.equal(new[:, new_places], old[:, places])
    torch.testing.assert_close(new[:, new_patches], _bicubic(old[:, patches], (4, 4), (5, 7)))


def test_positions_for_overlapping_patches() -> None:
    trained, config = _variant("middle_of_an_odd_number", img_size=64)
    finer = archdsl.build(_architecture(config | {"stride": 8}))
    report = load_weights(finer, to_layout(trained, "vim"))
    assert report.resized == (("stem.position.weight", (4, 4), (7, 7)),)
    old = trained.get_parameter("stem.position.weight")
    new = finer.get_parameter("stem.position.weight")
    assert torch.equal(new[:, 24], old[:, 8])


def test_the_official_resizing_takes_another_row_for_the_class_token() -> None:
    """What its code does, and that ours differs: see `archdsl.weights.families.vim`."""
    trained, config = _variant("middle_of_an_odd_number", img_size=64)
    larger = archdsl.build(_architecture(config | {"img_size": 96}))
    load_weights(larger, to_layout(trained, "vim"))
    old = trained.get_parameter("stem.position.weight")
    official = torch.cat([old[:, :1], _bicubic(old[:, 1:], (4, 4), (6, 6))], 1)
    new = larger.get_parameter("stem.position.weight")
    assert official.shape == new.shape
    assert torch.equal(new[:, 18], old[:, 8])
    assert (official - new).abs().max() > 0.1
