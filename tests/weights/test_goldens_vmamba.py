"""VMamba reproduces the numbers of the official code, at every feature that a fixture stores.

A fixture is a pair of files in tests/data/goldens/vmamba: a configuration, and weights `state_dict.*` with
`input`, `output` and features `feat.*`: maps, channels first where the norm is `ln2d`, last where it is `ln`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from goldens import assert_close, names, read_state_dict
from torch import Tensor

import archdsl
from archdsl.compiler import Model
from archdsl.diagnostics import DiagnosticError
from archdsl.weights import load_weights, to_layout

NAMES = names("vmamba", "")

THREE_STAGES = """
use "vmamba.arch"

arch three(dims = [12, 24, 48], mlp_ratio = 2, state = 4, expand = 2, mixing = ss2d_z) {
  stem = patch_embed(4, dims[0]) -> layer_norm
  downsample = down_v1
  stage s1 { dim = dims[0];  blocks = metaformer }
  stage s2 { dim = dims[1];  blocks = metaformer }
  stage s3 { dim = dims[2];  blocks = metaformer }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""


def _model(config: dict[str, Any], image: tuple[int, ...], folder: Path) -> Model:
    """The shipped arch with a fixture's configuration; one of three stages is a spec of its own."""
    options: dict[str, Any] = {
        "mlp_ratio": config["mlp_ratio"],
        "state": config["ssm_d_state"],
        "expand": config["ssm_ratio"],
        "classes": config["num_classes"],
        "image": image,
    }
    dims = config["dims"]
    if len(dims) == 4:
        widths = {f"s{i}.dim": width for i, width in enumerate(dims, 1)}
        return archdsl.build("vmamba", dim=dims[0], depths=config["depths"], overrides=widths, **options)
    spec = folder / "three.arch"
    spec.write_text(THREE_STAGES, encoding="utf-8")
    return archdsl.build(spec, dims=dims, **options)


def _features(model: Model, images: Tensor, channels_first: bool) -> dict[str, Tensor]:
    """The features of the official model, taken at ours."""
    found: dict[str, Tensor] = {}

    def keep(name: str, path: str, of_input: bool = False) -> None:
        def hook(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            image = (inputs[0] if of_input else output).to_map()
            found[f"feat.{name}"] = image if channels_first else image.permute(0, 2, 3, 1)

        model.get_submodule(path).register_forward_hook(hook)

    keep("patch_embed", "stem")
    keep("stage0.block0.ss2d_in", "stages.s1.blocks.0.residual.mixing", of_input=True)
    keep("stage0.block0.ss2d_out", "stages.s1.blocks.0.residual.mixing")
    for i in range(len(model.stages)):
        keep(f"stage{i}", f"stages.s{i + 1}")
        if i:
            keep(f"down{i - 1}", f"stages.s{i + 1}.downsample")
    with torch.no_grad():
        found["output"] = model.eval()(images)
    return found


def test_no_fixture_is_missing() -> None:
    assert NAMES == [
        "vmamba_a_v05noz_s2_64",
        "vmamba_b_v05noz_s1_nonsquare_56x72",
        "vmamba_c_v05z_n4_ln_48x80",
    ]


@pytest.mark.usefixtures("scan_backend")
@pytest.mark.parametrize("name", NAMES)
def test_every_stored_feature(name: str, tmp_path: Path) -> None:
    about, weights, stored = read_state_dict("vmamba", name)
    images = stored.pop("input")
    model = _model(about["config"], images.shape[2:], tmp_path)
    assert sum(p.numel() for p in model.parameters()) == about["params"]
    report = load_weights(model, weights)
    assert report.complete
    assert report.layout == "vmamba"
    assert_close(_features(model, images, about["config"]["norm_layer"] == "ln2d"), stored)
    back = to_layout(model, "vmamba")
    assert back.keys() == weights.keys()
    assert all(torch.equal(tensor, weights[key]) for key, tensor in back.items())


def test_feature_maps_are_those_of_the_stages() -> None:
    name = "vmamba_b_v05noz_s1_nonsquare_56x72"
    about, weights, stored = read_state_dict("vmamba", name)
    model = _model(about["config"], (224, 224), Path())
    load_weights(model, weights)
    with torch.no_grad():
        maps = model.eval().forward_intermediates(stored["input"], intermediates_only=True)
    assert len(maps) == 4
    for i, found in enumerate(maps):
        torch.testing.assert_close(found, stored[f"feat.stage{i}"], rtol=2e-5, atol=2e-5)


SMALL: dict[str, Any] = {"dim": 8, "depths": (1, 1, 2, 1), "classes": 5, "image": 32}


@pytest.mark.parametrize(
    "change",
    [
        {"key": "layers.0.blocks.0.op.x_proj_weight", "rows": 3},
        {"key": "layers.1.blocks.0.op.A_logs", "rows": 62},
        {"key": "layers.2.blocks.1.op.dt_projs_bias", "rows": None},
        {"key": "layers.0.downsample.1.weight", "rows": None},
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    model = archdsl.build("vmamba", **SMALL)
    weights = to_layout(model, "vmamba")
    tensor = weights.pop(change["key"])
    if change["rows"]:
        weights[change["key"]] = tensor[: change["rows"]]
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(model, weights)


def test_a_checkpoint_with_a_gate_does_not_fit_a_model_without() -> None:
    gated = archdsl.build("vmamba", overrides={"mixing": "ss2d_z", "state": 1, "expand": 1}, **SMALL)
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(archdsl.build("vmamba", **SMALL), to_layout(gated, "vmamba"))


def test_a_fifth_scan_has_no_place() -> None:
    order = "[rows, columns, rows, reverse(rows), reverse(columns)]"
    five, four = (
        archdsl.build("vmamba", overrides={"order": order}, **SMALL),
        archdsl.build("vmamba", **SMALL),
    )
    with pytest.raises(DiagnosticError, match=r"(?s)E503.*rows_2"):
        to_layout(five, "vmamba")
    with pytest.raises(DiagnosticError, match=r"(?s)E503.*rows_2"):
        load_weights(five, to_layout(four, "vmamba"))


def test_another_task_keeps_the_trunk() -> None:
    source, target = archdsl.build("vmamba", **SMALL), archdsl.build("vmamba", **(SMALL | {"classes": 3}))
    report = load_weights(target, to_layout(source, "vmamba"), strict=False)
    assert {m.name for m in report.mismatched} == {"head.linear.weight", "head.linear.bias"}


@pytest.mark.parametrize(
    ("key", "cut", "told"),
    [
        ("x_proj_weight", slice(0, 3), "model 3 x 16, as one of 4 in the checkpoint's {}, 3 x 3 x 16"),
        ("x_proj_weight", 0, "model 3 x 16, as one of 4 in the checkpoint's {}, 3 x 16"),
        ("A_logs", slice(1, None), "model 16 x 1, as one of 4 in the checkpoint's {}, 63 x 1"),
    ],
)
def test_a_stack_of_another_number_of_routes_is_told(key: str, cut: slice | int, told: str) -> None:
    def small() -> Model:
        return archdsl.build("vmamba", dim=16, depths=[1, 1, 1, 1], image=32, classes=5)

    weights = to_layout(small(), "vmamba")
    whole = f"layers.0.blocks.0.op.{key}"
    weights[whole] = weights[whole][cut]
    with pytest.raises(DiagnosticError) as refused:
        load_weights(small(), weights)
    assert refused.value.diagnostics[0].code == "E503"
    assert refused.value.diagnostics[0].notes[0].endswith(told.format(whole))
