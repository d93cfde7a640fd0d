"""MambaOut reproduces the numbers of the official code and of timm, at every feature that a fixture stores.

A fixture is a pair of files in tests/data/goldens/mambaout: a configuration, and weights under their keys
with tensors `golden.*`. The `full_*` ones store no weights: they are made by formula from their keys.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import archdsl
from archdsl.compiler import Model
from archdsl.graph.architecture import Architecture
from archdsl.nn.stream import from_map, run
from archdsl.weights import load_weights, to_layout

FOLDER = Path(__file__).parents[1] / "data" / "goldens" / "mambaout"
SMALL = sorted(p.stem for p in FOLDER.glob("mo_*.json"))
FULL = sorted(p.stem for p in FOLDER.glob("full_*.json"))
TOLERANCE = 5e-5
"""Of the largest value of each tensor, as the fixtures say."""


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
    for name in (*SMALL, *FULL):
        fixture = json.loads((FOLDER / f"{name}.json").read_text())
        tensors = load_file(FOLDER / f"{name}.safetensors")
        stored = {k.removeprefix("golden.") for k in tensors if k.startswith("golden.")}
        assert stored == set(fixture["golden_tensors"])


def _assert_same(features: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    for name, expected in stored.items():
        found = _stored_form(name, features)
        assert found.shape == expected.shape, name
        error = (found - expected).abs().max()
        assert error <= TOLERANCE * expected.abs().max(), f"{name}: {error}"


def _stored_form(name: str, features: dict[str, Tensor]) -> Tensor:
    """A feature whole, or its shape, its means or a corner of it."""
    feature, _, what = name.partition("_")
    if feature in ("stem", "stage1", "stage2", "stage3", "stage4") and what:
        value = features[feature]
        if what == "shape":
            return torch.tensor(value.shape)
        return value.mean((0, 2, 3)) if what == "chan_mean" else value[0, :8, :4, :4]
    return features[name]


@pytest.mark.parametrize("name", SMALL)
def test_every_stored_feature(name: str) -> None:
    fixture = json.loads((FOLDER / f"{name}.json").read_text())
    tensors = load_file(FOLDER / f"{name}.safetensors")
    stored = {k.removeprefix("golden."): v for k, v in tensors.items() if k.startswith("golden.")}
    weights = {k: v for k, v in tensors.items() if not k.startswith("golden.")}
    model = archdsl.build(_architecture(fixture["config"], tuple(fixture["image_size"])))
    assert sum(p.numel() for p in model.parameters()) == fixture["n_params"]
    report = load_weights(model, weights)
    assert report.complete
    _assert_same(_features(model, stored.pop("input")), stored)
    back = to_layout(model, report.layout)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[k], v) for k, v in weights.items())


def _formula(key: str, shape: tuple[int, ...]) -> Tensor:
    """The weights that the full-size fixtures were made with."""
    a = np.random.RandomState(zlib.crc32(key.encode("ascii"))).standard_normal(shape)
    if key.endswith("gamma"):
        value = 0.5 + 0.2 * a
    elif key.endswith("bias"):
        value = 0.1 * a
    elif len(shape) == 1:
        value = 1 + 0.2 * a
    else:
        value = a / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(value.astype(np.float32))


@pytest.mark.parametrize("name", FULL)
def test_full_size(name: str) -> None:
    fixture = json.loads((FOLDER / f"{name}.json").read_text())
    tensors = load_file(FOLDER / f"{name}.safetensors")
    arch = name.removeprefix("full_").removeprefix("timm_")
    h, w = fixture["image_size"]
    model = archdsl.build(arch, image=(h, w))
    layout = "mambaout_timm" if "_timm_" in name else "mambaout"
    shapes = {k: tuple(v.shape) for k, v in to_layout(model, layout).items()}
    report = load_weights(model, {k: _formula(k, s) for k, s in shapes.items()})
    assert report.complete
    assert report.layout == layout
    assert sum(p.numel() for p in model.parameters()) == fixture["params"]
    i = np.arange(3 * h * w)
    images = torch.from_numpy(np.sin(0.37 * i + 0.11 * (i // w)).astype(np.float32)).view(1, 3, h, w)
    _assert_same(_features(model, images), {k.removeprefix("golden."): v for k, v in tensors.items()})


def test_one_block() -> None:
    fixture = json.loads((FOLDER / "unit_mo_block.json").read_text())
    config = fixture["config"]
    tensors = load_file(FOLDER / "unit_mo_block.safetensors")
    images = tensors.pop("golden.input").permute(0, 3, 1, 2)
    expected = tensors.pop("golden.output").permute(0, 3, 1, 2)
    model = archdsl.build(
        "mambaout",
        dims=(config["dim"], 24, 28, 32),
        depths=(1, 1, 1, 1),
        ratio=config["conv_ratio"],
        classes=2,
    )
    weights = to_layout(model, "mambaout")
    weights |= {f"stages.0.0.{k}": v for k, v in tensors.items()}
    load_weights(model, weights)
    with torch.no_grad():
        found = run(model.get_submodule("stages.s1.blocks.0"), from_map(images)).to_map()
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()
