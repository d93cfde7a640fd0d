"""MambaVision reproduces the numbers of the official code at every feature that a fixture stores."""

from __future__ import annotations

import json
from typing import Any

import goldens
import pytest
import torch
from torch import Tensor

import archdsl
from archdsl.compiler import Model
from archdsl.diagnostics import DiagnosticError
from archdsl.weights import load_weights, to_layout

SMALL = goldens.names("mambavision", "mv_")
FULL = goldens.names("mambavision", "full_")


def _build(config: dict[str, Any], image: tuple[int, int]) -> Model:
    """The shipped arch with a fixture's configuration."""
    changes = {"mlp_ratio": str(config["mlp_ratio"])}
    for stage, heads, window in zip(
        ("s3", "s4"), config["num_heads"][2:], config["window_size"][2:], strict=True
    ):
        changes[f"{stage}.heads"] = str(heads)
        changes[f"{stage}.within"] = f"windows({window}, pad = on)"
        for setting, key in (("qkv_bias", "qkv_bias"), ("qk_norm", "qk_scale")):
            if key in config:
                changes[f"{stage}.{setting}"] = "on" if config[key] else "off"
    return archdsl.build(
        "mambavision",
        dim=config["dim"],
        stem_dim=config["in_dim"],
        depths=tuple(config["depths"]),
        layer_scale=config.get("layer_scale"),
        layer_scale_conv=config.get("layer_scale_conv"),
        classes=config["num_classes"],
        image=image,
        overrides=changes,
    )


def _features(model: Model, images: Tensor) -> dict[str, Tensor]:
    """The official features, taken at our model: maps as (B, C, H, W), blocks as windows of tokens."""
    found: dict[str, Tensor] = {}

    def keep(name: str, path: str) -> None:
        def hook(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor):
                found[name] = output.flatten(1)
            else:
                found[name] = output.x if name.startswith("block") else output.to_map()

        model.get_submodule(path).register_forward_hook(hook)

    keep("stem", "stem")
    for i, stage in enumerate(model.architecture.stages, 1):
        keep(f"stage{i}", f"stages.s{i}")
        if i > 1:
            keep(f"stage{i - 1}_down", f"stages.s{i}.downsample")
        if i > 2:
            for j in range(len(stage.blocks)):
                keep(f"block{i}.{j}", f"stages.s{i}.blocks.{j}")
    model.get_submodule("head.linear").register_forward_pre_hook(
        lambda _, inputs: found.update(pooled=inputs[0].flatten(1))
    )
    with torch.no_grad():
        found["output"] = model.eval()(images)
    return found


def test_no_fixture_is_missing() -> None:
    assert SMALL == ["mv_bigwin_lsconv", "mv_eps", "mv_even_twowin", "mv_odd_pad_ls", "mv_qknorm_noqkvbias"]
    assert FULL == ["full_mamba_vision_S", "full_mamba_vision_T"]


@pytest.mark.usefixtures("scan_backend")
@pytest.mark.parametrize("name", SMALL)
def test_every_stored_feature(name: str) -> None:
    golden = goldens.read("mambavision", name)
    weights, stored = golden.weights, golden.stored
    model = _build(golden.about["config"], tuple(golden.about["image_size"]))
    assert sum(p.numel() for p in model.parameters()) == golden.about["n_params"]
    report = load_weights(model, weights)
    assert report.complete
    assert report.layout == "mambavision"
    goldens.assert_same(_features(model, stored.pop("input")), stored)
    back = to_layout(model, report.layout)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[k], v) for k, v in weights.items())


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n.endswith("S") else n for n in FULL]
)
def test_full_size(name: str) -> None:
    golden = goldens.read("mambavision", name)
    h, w = golden.about["image_size"]
    model = archdsl.build(name.removeprefix("full_").replace("mamba_vision", "mambavision").lower())
    assert sum(p.numel() for p in model.parameters()) == golden.about["params"]
    report = load_weights(model, goldens.formula_weights(to_layout(model, "mambavision")))
    assert report.complete
    goldens.assert_same(_features(model, goldens.formula_images(h, w)), golden.stored)


@pytest.mark.parametrize(("size", "count"), [("T", 252), ("B", 356)])
def test_exactly_the_official_keys(size: str, count: int) -> None:
    listed = json.loads((goldens.FOLDER / "mambavision" / f"keys_mamba_vision_{size}.json").read_text())
    assert len(listed) == count
    model = archdsl.build(f"mambavision_{size.lower()}", device="meta")
    official = to_layout(model, "mambavision")
    found = {k: [list(v.shape), str(v.dtype).removeprefix("torch.")] for k, v in official.items()}
    assert found == listed


@pytest.mark.parametrize(
    ("name", "count"), [("t", 252), ("t2", 298), ("s", 285), ("l", 356), ("l2", 389), ("l3_256", 601)]
)
def test_as_many_tensors_as_the_official_checkpoint(name: str, count: int) -> None:
    model = archdsl.build(f"mambavision_{name}", device="meta")
    assert len(to_layout(model, "mambavision")) == count


SMALL_ARGUMENTS: dict[str, Any] = {
    "dim": 16,
    "stem_dim": 8,
    "depths": (1, 2, 3, 2),
    "classes": 5,
    "image": 64,
}


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
@pytest.mark.parametrize("prefix", ["module.", "encoder.", "module.encoder."])
def test_wrapped_as_released(wrapper: str, prefix: str) -> None:
    scaled = SMALL_ARGUMENTS | {"layer_scale": 0.1, "layer_scale_conv": 0.2}
    torch.manual_seed(0)
    source, target = (archdsl.build("mambavision", **scaled) for _ in range(2))
    official = {f"{prefix}{k}": v for k, v in to_layout(source, "mambavision").items()}
    report = load_weights(target, {wrapper: official, "epoch": 310})
    assert report.complete
    assert report.layout == "mambavision"
    for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_layer_scale_of_convolutions_has_a_key_of_its_own() -> None:
    model = archdsl.build("mambavision", layer_scale=0.1, layer_scale_conv=0.2, **SMALL_ARGUMENTS)
    official = to_layout(model, "mambavision")
    assert [k for k in official if k.endswith(".gamma")] == [
        "levels.0.blocks.0.gamma",
        "levels.1.blocks.0.gamma",
        "levels.1.blocks.1.gamma",
    ]
    assert all((v == 0.2).all() for k, v in official.items() if k.endswith(".gamma"))
    scaled = {k: v for k, v in official.items() if k.rsplit(".")[-1] in ("gamma_1", "gamma_2")}
    assert len(scaled) == 2 * (3 + 2)
    assert all((v == 0.1).all() for v in scaled.values())


def test_another_task_keeps_the_trunk() -> None:
    source = archdsl.build("mambavision", **SMALL_ARGUMENTS)
    target = archdsl.build("mambavision", **(SMALL_ARGUMENTS | {"classes": 3}))
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(target, to_layout(source, "mambavision"))
    report = load_weights(target, to_layout(source, "mambavision"), strict=False)
    assert {m.name for m in report.mismatched} == {"head.linear.weight", "head.linear.bias"}


@pytest.mark.parametrize("lost", ["levels.2.blocks.0.mixer.conv1d_z.weight", "norm.running_var"])
def test_a_checkpoint_without_a_tensor_is_refused(lost: str) -> None:
    model = archdsl.build("mambavision", **SMALL_ARGUMENTS)
    weights = to_layout(model, "mambavision")
    del weights[lost]
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(model, weights)


DENSE = {"head": "none", "feature_norm": "layer_norm"}


def test_dense_variant_norms_every_stage_with_its_outnorm() -> None:
    golden = goldens.read("mambavision", "mv_eps")
    images = golden.stored["input"]
    config = golden.about["config"]
    sizes = {"dim": config["dim"], "stem_dim": config["in_dim"], "depths": tuple(config["depths"])}
    torch.manual_seed(0)
    norms = {
        f"outnorm{s}.{p}": torch.randn(config["dim"] * 2**s) for s in range(4) for p in ("weight", "bias")
    }
    trunk = {k: v for k, v in golden.weights.items() if k.startswith(("patch_embed.", "levels."))}
    model = archdsl.build(
        "mambavision",
        overrides=DENSE
        | {"s3.heads": "4", "s4.heads": "8", "s3.within": "windows(4)", "s4.within": "windows(2)"},
        image=tuple(golden.about["image_size"]),
        layer_scale=1e-5,
        **sizes,
    )
    report = load_weights(model, {"state_dict": {f"backbone.{k}": v for k, v in (trunk | norms).items()}})
    assert report.complete
    back = to_layout(model, "mambavision")
    assert back.keys() == (trunk | norms).keys()
    with torch.no_grad():
        _, maps = model.eval().forward_intermediates(images)
    for s, found in enumerate(maps):
        raw = golden.stored[f"stage{s + 1}"]
        centred = raw - raw.mean(1, keepdim=True)
        scaled = centred / (raw.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        expected = (
            scaled * norms[f"outnorm{s}.weight"][:, None, None] + norms[f"outnorm{s}.bias"][:, None, None]
        )
        error = (found - expected).abs().max()
        assert error <= goldens.TOLERANCE * expected.abs().max(), f"stage {s}: {error}"


def test_a_classifier_becomes_a_dense_variant() -> None:
    source = archdsl.build("mambavision", **SMALL_ARGUMENTS)
    target = archdsl.build("mambavision", overrides=DENSE, **SMALL_ARGUMENTS)
    weights = to_layout(source, "mambavision")
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(target, weights)
    report = load_weights(target, weights, strict=False)
    assert {name.split(".")[2] for name in report.missing} == {"feature_norm"}
    assert {key.split(".")[0] for key in report.unexpected} == {"norm", "head"}
