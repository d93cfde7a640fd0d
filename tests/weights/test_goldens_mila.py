"""MILA reproduces the numbers of the official code, at every feature that a fixture stores.

A fixture is a pair of files in tests/data/goldens/mila: a configuration, and weights `state_dict.*` with
`input`, `output` and features `feat.*` of the tokens (B, N, C).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from goldens import OUTPUT, assert_close, read_state_dict
from torch import Tensor

import archdsl
from archdsl.compiler import Model
from archdsl.diagnostics import DiagnosticError
from archdsl.nn.stream import Stream
from archdsl.weights import load_weights, to_layout

CLASSIFIERS = ["mila_a_e16_h1248_64", "mila_b_e12_h3612_96", "mila_c_e24_3stage_ape_nobias_112"]
DENSE = "mila_dense_e12_nonsquare_64x96"

THREE_STAGES = """
use "mila.arch"

arch three(dim = 24, depths = [1, 1, 1], heads = [1, 3, 8], mlp_ratio = 3, qkv_bias = off) {
  stem = pad(4)
      -> cbr(dim // 2, stride = 2)
      -> residual(cbr(dim // 2) -> conv2d(3, bias = off) -> batch_norm)
      -> cbr(4 * dim, stride = 2) -> conv2d(1, dim, bias = off) -> batch_norm -> position(learned)
  downsample = merge
  stage s1 { dim = dim;      heads = heads[0];  blocks = depths[0] x linear_attn }
  stage s2 { dim = 2 * dim;  heads = heads[1];  blocks = depths[1] x linear_attn }
  stage s3 { dim = 4 * dim;  heads = heads[2];  blocks = depths[2] x linear_attn }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""


def _model(config: dict[str, Any], image: tuple[int, int], folder: Path, **overrides: Any) -> Model:
    """The shipped arch with a fixture's configuration; one of three stages is a spec of its own."""
    options: dict[str, Any] = {
        "dim": config["embed_dim"],
        "depths": config["depths"],
        "heads": config["num_heads"],
        "mlp_ratio": config["mlp_ratio"],
        "qkv_bias": config.get("qkv_bias", True),
        "classes": config.get("num_classes", 1000),
        "image": image,
    }
    if len(config["depths"]) == 4:
        return archdsl.build("mila", overrides=overrides or None, **options)
    spec = folder / "three.arch"
    spec.write_text(THREE_STAGES, encoding="utf-8")
    return archdsl.build(spec, **options)


def _features(model: Model, images: Tensor) -> dict[str, Tensor]:
    """The features of the official model, taken at ours: tokens (B, N, C)."""
    found: dict[str, Tensor] = {}

    def keep(name: str, path: str, of_input: bool = False) -> None:
        def hook(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            value = inputs[0] if of_input else output
            found[f"feat.{name}"] = value.x if isinstance(value, Stream) else value

        model.get_submodule(path).register_forward_hook(hook)

    keep("stem", "stem.batch_norm")
    attention = "stages.s1.blocks.0.residual_2.gated_linear_attention.split.inner.linear_attention"
    keep("stage0.block0.attn_in", attention, of_input=True)
    keep("stage0.block0.attn_out", attention)
    for i in range(len(model.stages)):
        keep(f"stage{i}", f"stages.s{i + 1}")
        if i:
            keep(f"down{i - 1}", f"stages.s{i + 1}.downsample")
    keep("norm", "head.layer_norm")
    with torch.no_grad():
        found["output"] = model.eval()(images)
    return found


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_stored_feature(name: str, tmp_path: Path) -> None:
    about, weights, stored = read_state_dict("mila", name)
    images = stored.pop("input")
    size = about["config"]["img_size"]
    model = _model(about["config"], (size, size), tmp_path)
    assert sum(p.numel() for p in model.parameters()) == about["params"]
    assert load_weights(model, weights).complete
    assert_close(_features(model, images), stored)
    _assert_written_back(model, weights)


def _assert_written_back(model: Model, weights: dict[str, Tensor]) -> None:
    """All but the rotations, which no model needs."""
    back = to_layout(model, "mila")
    assert {k for k in weights if not k.endswith("rope.rotations")} == back.keys()
    assert all(torch.equal(tensor, weights[k]) for k, tensor in back.items())


def test_maps_for_dense_prediction(tmp_path: Path) -> None:
    """Every stage's map through a norm of its own, before merging, at a size that is no square."""
    about, weights, stored = read_state_dict("mila", DENSE)
    model = _model(about["config"], (64, 64), tmp_path, head=None, feature_norm="layer_norm").eval()
    assert sum(p.numel() for p in model.parameters()) == about["params"]
    assert load_weights(model, weights).complete
    with torch.no_grad():
        maps = model.forward_intermediates(stored["input"], intermediates_only=True)
    for i, found in enumerate(maps):
        expected = stored[f"output.{i}"]
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= OUTPUT
    _assert_written_back(model, weights)


def test_a_classifier_becomes_a_backbone(tmp_path: Path) -> None:
    """As detectors begin: the maps' norms are new, the classifier's norm and head are left."""
    about, weights, _ = read_state_dict("mila", CLASSIFIERS[0])
    model = _model(about["config"], (64, 96), tmp_path, head=None, feature_norm="layer_norm")
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(model, weights)
    report = load_weights(model, weights, strict=False)
    assert {name.split(".")[2] for name in report.missing} == {"feature_norm"}
    assert set(report.unexpected) == {"norm.weight", "norm.bias", "head.weight", "head.bias"}


def test_positions_of_another_size(tmp_path: Path) -> None:
    """The learned table, of a spec of its own and of the shipped one, is resized."""
    about, weights, _ = read_state_dict("mila", CLASSIFIERS[2])
    larger = _model(about["config"], (128, 112), tmp_path)
    report = load_weights(larger, weights)
    assert report.resized == (("stem.position.weight", (28, 28), (32, 28)),)
    as_built = _model(about["config"], (112, 112), tmp_path)
    load_weights(as_built, weights)
    images = torch.randn(1, 3, 128, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(larger.eval()(images), as_built.eval()(images), rtol=1e-5, atol=1e-6)
    shipped = archdsl.build("mila", dim=16, depths=[1] * 4, overrides={"ape": "position(learned)"}, image=64)
    back = to_layout(shipped, "mila")
    assert back["absolute_pos_embed"].shape == (1, 256, 16)
    assert load_weights(shipped, back).layout == "mila"


@pytest.mark.parametrize(
    "key", ["layers.1.blocks.0.act_proj.weight", "layers.0.downsample.conv.1.conv.weight"]
)
def test_what_is_missing_is_told(key: str, tmp_path: Path) -> None:
    about, weights, _ = read_state_dict("mila", CLASSIFIERS[0])
    model = _model(about["config"], (64, 64), tmp_path)
    del weights[key]
    with pytest.raises(DiagnosticError, match="E503") as caught:
        load_weights(model, weights, strict=False)
    assert "not in the checkpoint: stages.s2." in str(caught.value)


def test_halves_of_another_size_do_not_fit(tmp_path: Path) -> None:
    """The two projections that make our one."""
    about, weights, _ = read_state_dict("mila", CLASSIFIERS[0])
    model = _model(about["config"], (64, 64), tmp_path)
    weights["layers.1.blocks.0.in_proj.weight"] = torch.randn(48, 32)
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(model, weights, strict=False)
    weights["layers.1.blocks.0.in_proj.weight"] = torch.randn(32)
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(model, weights, strict=False)
