"""MambaOut reproduces the numbers of the official code and of timm: every feature that a fixture stores."""

from __future__ import annotations

from typing import Any

import goldens
import pytest
import torch
from goldens import TOLERANCE
from torch import Tensor

import archdsl
from archdsl.compiler import Model
from archdsl.graph.architecture import Architecture
from archdsl.nn.stream import from_map, run
from archdsl.weights import load_weights, to_layout

SMALL = goldens.names("mambaout", "mo_")
FULL = goldens.names("mambaout", "full_")


def _architecture(config: dict[str, Any], image: tuple[int, int]) -> Architecture:
    """The spec of a fixture's configuration."""
    expand = config.get("expansion_ratio", 8 / 3)
    return archdsl.load(
        "mambaout",
        overrides={"expand": "8 / 3" if abs(expand - 8 / 3) < 1e-9 else str(expand)},
        dims=tuple(config["dims"]),
        depths=tuple(config["depths"]),
        classes=config["num_classes"],
        ratio=config.get("conv_ratio", 1),
        kernel=config.get("kernel_size", 7),
        image=image,
        **_variant(config),
    )


def _variant(config: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the arch for what timm's class can switch."""
    chosen: dict[str, Any] = {}
    if not config.get("stem_mid_norm", True):
        chosen["stem_norm"] = None
    if config.get("downsample", "conv") == "conv_nf":
        chosen["down"] = "down_norm_first"
    if config.get("ls_init_value") is not None:
        chosen["layer_scale"] = 1e-5
    if config.get("head_fn", "default") == "norm_mlp":
        chosen["head_norm"] = None
    if "act_layer" in config:
        chosen["act"] = config["act_layer"]
    return chosen


def _features(model: Model, images: Tensor) -> dict[str, Tensor]:
    """The features of the official model, taken at ours: maps as (B, C, H, W)."""
    found: dict[str, Tensor] = {}

    def keep(name: str, path: str, of_input: bool = False) -> None:
        def hook(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            value = inputs[0] if of_input else output
            found[name] = value.flatten(1) if isinstance(value, Tensor) else value.to_map()

        model.get_submodule(path).register_forward_hook(hook)

    keep("stem", "stem")
    for i in range(1, 5):
        keep(f"stage{i}", f"stages.s{i}")
        if i > 1:
            keep(f"down{i}", f"stages.s{i}.downsample")
    keep("pooled", "head.layer_norm")
    keep("pre_logits", "head.linear_2", of_input=True)
    with torch.no_grad():
        found["output"] = model.eval()(images)
    return found


def test_no_fixture_is_missing() -> None:
    assert SMALL == ["mo_base", "mo_eps", "mo_partial_k5_odd", "mo_timm_default", "mo_timm_rw_silu_wide"]
    assert FULL == ["full_mambaout_femto", "full_mambaout_tiny", "full_timm_mambaout_small_rw"]


@pytest.mark.parametrize("name", SMALL)
def test_every_stored_feature(name: str) -> None:
    golden = goldens.read("mambaout", name)
    weights, stored = golden.weights, golden.stored
    model = archdsl.build(_architecture(golden.about["config"], tuple(golden.about["image_size"])))
    assert sum(p.numel() for p in model.parameters()) == golden.about["n_params"]
    report = load_weights(model, weights)
    assert report.complete
    goldens.assert_same(_features(model, stored.pop("input")), stored)
    back = to_layout(model, report.layout)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[k], v) for k, v in weights.items())


@pytest.mark.parametrize("name", FULL)
def test_full_size(name: str) -> None:
    golden = goldens.read("mambaout", name)
    arch = name.removeprefix("full_").removeprefix("timm_")
    h, w = golden.about["image_size"]
    model = archdsl.build(arch, image=(h, w))
    layout = "mambaout_timm" if "_timm_" in name else "mambaout"
    report = load_weights(model, goldens.formula_weights(to_layout(model, layout)))
    assert report.complete
    assert report.layout == layout
    assert sum(p.numel() for p in model.parameters()) == golden.about["params"]
    goldens.assert_same(_features(model, goldens.formula_images(h, w)), golden.stored)


def test_one_block() -> None:
    golden = goldens.read("mambaout", "unit_mo_block")
    config = golden.about["config"]
    images = golden.stored["input"].permute(0, 3, 1, 2)
    expected = golden.stored["output"].permute(0, 3, 1, 2)
    model = archdsl.build(
        "mambaout",
        dims=(config["dim"], 24, 28, 32),
        depths=(1, 1, 1, 1),
        ratio=config["conv_ratio"],
        classes=2,
    )
    weights = to_layout(model, "mambaout")
    weights |= {f"stages.0.0.{k}": v for k, v in golden.weights.items()}
    load_weights(model, weights)
    with torch.no_grad():
        found = run(model.get_submodule("stages.s1.blocks.0"), from_map(images)).to_map()
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
