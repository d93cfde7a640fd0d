"""Mamba-R reproduces the numbers of the official code, at every feature that a fixture stores.

A fixture is a pair of files in tests/data/goldens/mamba_r: a configuration, and weights under the official
keys with input, output and features. Real sizes store no weights: they are drawn by the recipe that the
configuration names.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import archdsl
from archdsl.compiler import Model
from archdsl.features import Extra, segments
from archdsl.graph.architecture import Architecture
from archdsl.weights import load_weights, to_layout
from archdsl.weights.positions import Places, resize_positions

FOLDER = Path(__file__).parents[1] / "data" / "goldens" / "mamba_r"
FIXTURES = sorted(p.stem for p in FOLDER.glob("mambar_*.json"))
REAL = {"mambar_tiny_patch16_224": "mamba_r_tiny"}


def _architecture(fixture: dict[str, Any]) -> Architecture:
    """The spec of a fixture's configuration: a shipped arch, changed by parameters and overrides."""
    config = fixture["config"]
    size = config["img_size"]
    common = {"image": tuple(size) if isinstance(size, list) else size, "classes": config["num_classes"]}
    if fixture["entry"] in REAL:
        return archdsl.load(REAL[fixture["entry"]], **common)
    patch = config.get("patch_size", 16)
    scan = config.get("ssm_cfg", {})
    state, conv, expand = (scan.get(k, d) for k, d in (("d_state", 16), ("d_conv", 4), ("expand", 2)))
    overrides = {
        "norm": "rms_norm" if config["rms_norm"] else "layer_norm",
        "stem": f"patch_embed({patch}, dim) -> position(learned)"
        " -> registers(registers, at = even, position = learned)",
        "trunk.blocks": f"depth x scan(order = both, state = {state}, conv = {conv}, expand = {expand})",
    }
    return archdsl.load(
        "mamba_r",
        overrides=overrides,
        dim=config["embed_dim"],
        depth=config["depth"],
        registers=config["num_cls_tokens"],
        reduce=config["cls_reduce"],
        **common,
    )


def _drawn(fixture: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> tuple[dict[str, Tensor], Tensor]:
    """Weights and input by the fixture's recipe, from the shapes under the official keys."""
    rng = np.random.Generator(np.random.PCG64(fixture["seed"]))
    weights = {}
    small = fixture.get("small_scale", 1.0)
    for key in sorted(shapes):
        shape = shapes[key]
        r = rng.standard_normal(int(np.prod(shape))).reshape(shape)
        value = _value(key, shape, r)
        if key.startswith(("patch_embed", "cls_token", "pos_embed", "neck")) or "out_proj" in key:
            value = value * small
        weights[key] = torch.from_numpy(value.astype(np.float32))
    size = fixture["config"]["img_size"]
    h, w = size if isinstance(size, list) else (size, size)
    images = rng.standard_normal(fixture["batch"] * 3 * h * w).reshape(fixture["batch"], 3, h, w)
    return weights, torch.from_numpy(images.astype(np.float32))


def _value(key: str, shape: tuple[int, ...], r: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One tensor of the recipe from standard normal numbers."""
    names = key.split(".")
    module = names[-2] if len(names) > 1 else ""
    if key.endswith(("A_log", "A_b_log")):
        return np.log(np.arange(1, shape[-1] + 1)) + 0.2 * r
    if names[-1] in ("D", "D_b"):
        return 1 + 0.3 * r
    if module in ("dt_proj", "dt_proj_b"):
        return -3 + 0.7 * r if names[-1] == "bias" else 0.5 * shape[1] ** -0.5 * r
    if module in ("conv1d", "conv1d_b") and names[-1] == "weight":
        return 0.4 * r
    if module.startswith("norm") and names[-1] == "weight":
        return 1 + 0.2 * r
    if key.startswith(("cls_token", "pos_embed")):
        return 0.3 * r
    return 0.2 * r if len(shape) == 1 else r / np.sqrt(np.prod(shape[1:]))


def _digest(weights: dict[str, Tensor]) -> str:
    each = (hashlib.sha256(weights[k].numpy().tobytes()).hexdigest() for k in sorted(weights))
    return hashlib.sha256("".join(each).encode()).hexdigest()


def _features(model: Model, images: Tensor) -> dict[str, Tensor]:
    """The features of the official model, taken at ours."""
    found: dict[str, Tensor] = {}

    def keep(name: str, path: str, of_input: bool = False) -> None:
        def hook(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            value = inputs[0] if of_input else output
            found[name] = value if isinstance(value, Tensor) else value.x

        model.get_submodule(path).register_forward_hook(hook)

    keep("patch_embed", "stem.patch_embed")
    keep("tokens", "stem")
    for i, block in enumerate(model.get_submodule("stages.trunk.blocks").children()):
        inside = f"stages.trunk.blocks.{i}.residual"
        names = [name for name, _ in block.get_submodule("residual").named_children()]
        keep(f"block{i}.residual", inside, of_input=True)
        keep(f"block{i}.hidden", f"{inside}.{names[-1]}")
    keep("norm_f", "head.norm")
    keep("head_in", "head.linear", of_input=True)
    with torch.no_grad():
        found["output"] = model.eval()(images)
    found["head_in"] = found["head_in"].flatten(1)
    return found


def _reduced(name: str, features: dict[str, Tensor]) -> Tensor:
    """A stored feature may be the first token or the mean over tokens of one."""
    if name.endswith(".first_token"):
        return features[name.removesuffix(".first_token")][:, 0]
    if name.endswith(".mean_over_tokens"):
        return features[name.removesuffix(".mean_over_tokens")].mean(1)
    return features[name]


def test_no_fixture_is_missing() -> None:
    small = ("a", "b_rect_reduce2", "c_odd_ssmcfg", "d_layernorm", "e_epsprobe")
    assert [*(f"mambar_small_{s}" for s in small), "mambar_tiny_patch16_224_real"] == FIXTURES
    for name in FIXTURES:
        fixture = json.loads((FOLDER / f"{name}.json").read_text())
        if fixture["entry"] in REAL:
            kept = {"hidden": "first_token", "residual": "mean_over_tokens"}
            expected = {"head_in"} | {f"block{i}.{k}.{v}" for i in (0, 12, 23) for k, v in kept.items()}
        else:
            blocks = range(fixture["config"]["depth"])
            expected = {"patch_embed", "tokens", "norm_f", "head_in"}
            expected |= {f"block{i}.{what}" for i in blocks for what in ("hidden", "residual")}
        stored = load_file(FOLDER / f"{name}.safetensors")
        assert {k.removeprefix("feature.") for k in stored if k.startswith("feature.")} == expected


@pytest.mark.parametrize("name", FIXTURES)
def test_every_stored_feature(name: str) -> None:
    fixture = json.loads((FOLDER / f"{name}.json").read_text())
    stored = load_file(FOLDER / f"{name}.safetensors")
    model = archdsl.build(_architecture(fixture))
    assert sum(p.numel() for p in model.parameters()) == fixture["num_params"]
    weights = {k.removeprefix("state_dict."): v for k, v in stored.items() if k.startswith("state_dict.")}
    if weights:
        images = stored["input"]
    else:
        shapes = {k: tuple(v.shape) for k, v in to_layout(model, "mamba_r").items()}
        weights, images = _drawn(fixture, shapes)
    assert _digest(weights) == fixture["state_dict_sha256"]
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest() == fixture["input_sha256"]

    report = load_weights(model, weights)
    assert report.complete
    assert report.layout == "mamba_r"
    features = _features(model, images)
    expected = {k.removeprefix("feature."): v for k, v in stored.items() if k.startswith("feature.")}
    expected["output"] = stored["output"]
    tolerance = fixture["suggested_tolerance"]
    for feature, value in expected.items():
        torch.testing.assert_close(
            _reduced(feature, features), value, **tolerance, msg=lambda m, f=feature: f"{name}, {f}: {m}"
        )


@pytest.mark.parametrize("name", FIXTURES)
def test_tokens_stand_where_the_official_code_puts_them(name: str) -> None:
    fixture = json.loads((FOLDER / f"{name}.json").read_text())
    architecture = _architecture(fixture)
    tokens = architecture.stages[0].feature
    order: list[int] = []
    for extra, start, stop in segments(tokens.patches, tokens.extras):
        order += range(start, stop) if extra < 0 else range(tokens.patches + start, tokens.patches + stop)
    assert order == fixture["token_idx"]
    assert [i for i, t in enumerate(order) if t >= tokens.patches] == fixture["register_positions"]


def test_register_positions_of_many_grids() -> None:
    for case in json.loads((FOLDER / "register_positions.json").read_text()):
        patches = case["H"] * case["W"]
        order: list[int] = []
        for extra, start, stop in segments(patches, (Extra("registers", case["n"], "even"),)):
            order += range(start, stop) if extra < 0 else range(patches + start, patches + stop)
        assert order == case["token_idx"], case


def test_position_embeddings_are_resized_as_the_official_loader_does() -> None:
    stored = load_file(FOLDER / "posembed_interp_8to14.safetensors")
    resized = resize_positions(stored["pos_embed_old"], (8, 8), Places((14, 14)))
    torch.testing.assert_close(resized, stored["pos_embed_new"], rtol=0, atol=1e-6)


def test_official_keys_come_back() -> None:
    stored = load_file(FOLDER / "mambar_small_b_rect_reduce2.safetensors")
    fixture = json.loads((FOLDER / "mambar_small_b_rect_reduce2.json").read_text())
    model = archdsl.build(_architecture(fixture))
    weights = {k.removeprefix("state_dict."): v for k, v in stored.items() if k.startswith("state_dict.")}
    load_weights(model, weights)
    back = to_layout(model, "mamba_r")
    assert back.keys() == weights.keys()
    for key, value in weights.items():
        assert torch.equal(back[key], value), key
