"""MambaVision's composition: what its ablations are and cost, odd sizes, where its weights start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from counts import assert_counted

import archdsl
from archdsl.nn.stream import Stream, run

ABLATIONS = Path(__file__).parents[2] / "specs" / "ablations" / "mambavision.arch"
T = 31_794_248
SMALL: dict[str, Any] = {"dim": 16, "stem_dim": 8, "depths": (1, 2, 2, 3), "classes": 5}

PATTERNS = {
    "random": ("MSSMSMMS", "SMMS"),
    "first_half": ("SSSSMMMM", "SSMM"),
    "mixed_1": ("SMSMSMSM", "SMSM"),
    "mixed_2": ("MSMSMSMS", "MSMS"),
    "last_quarter": ("MMMMMMSS", "MMMS"),
    "last_half": ("MMMMSSSS", "MMSS"),
}
"""Stages 3 and 4 as the paper writes them: M for a mixer, S for attention."""


def _params(name: str) -> int:
    return archdsl.load(ABLATIONS, name).cost().params


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name: str) -> None:
    stages = archdsl.load(ABLATIONS, f"mambavision_pattern_{name}").stages[2:]
    ops = [[{n.op.name for n in block.walk()} for block in stage.blocks] for stage in stages]
    assert all(("attention" in names) != ("selective_scan" in names) for stage in ops for names in stage)
    found = tuple("".join("S" if "attention" in names else "M" for names in stage) for stage in ops)
    assert found == PATTERNS[name]


@pytest.mark.parametrize("name", PATTERNS)
def test_parameters_of_patterns_are_counted(name: str) -> None:
    s3, s4 = (row.count("S") for row in PATTERNS[name])
    expected = T + (s3 - 4) * (410_880 - 216_320) + (s4 - 2) * (1_640_960 - 855_040)
    assert _params(f"mambavision_pattern_{name}") == expected
    assert (expected == T) == (name != "last_quarter")
    assert name != "last_quarter" or expected == 30_619_208


def test_parameters_of_mixers_are_counted() -> None:
    halves = (4 * 320**2 + 2 * 640**2) // 2
    conv2 = 3 * (4 * 160 + 2 * 320)
    assert _params("mambavision_mixer_concat") == T
    assert _params("mambavision_mixer_gated") == T - halves
    assert _params("mambavision_mixer_regular") == T - halves - conv2
    assert _params("mambavision_mixer_causal") == T - halves - conv2


@pytest.mark.parametrize("mixer", ["causal", "regular", "gated", "concat"])
def test_only_the_original_mixer_is_causal(mixer: str) -> None:
    torch.manual_seed(0)
    model = archdsl.build(
        ABLATIONS, f"mambavision_mixer_{mixer}", dim=16, stem_dim=8, depths=(1, 1, 2, 1), classes=2
    )
    block = model.eval().get_submodule("stages.s3.blocks.0")
    x = torch.randn(1, 49, 64)
    later = x.clone()
    later[:, 20:] = torch.randn(1, 29, 64)
    with torch.no_grad():
        a, b = (run(block, Stream(t, (7, 7))).x for t in (x, later))
    assert torch.allclose(a[:, :19], b[:, :19], atol=1e-6)
    assert torch.allclose(a[:, 19], b[:, 19], atol=1e-6) == (mixer == "causal")


def test_the_final_design_is_the_model() -> None:
    final = archdsl.load("mambavision_t").digest()
    variants = {
        name: archdsl.load(ABLATIONS, f"mambavision_{name}").digest()
        for name in (
            "mixer_causal",
            "mixer_regular",
            "mixer_gated",
            "mixer_concat",
            *(f"pattern_{p}" for p in PATTERNS),
            "windows_7_7",
            "windows_14_7",
        )
    }
    same = {name for name, digest in variants.items() if digest == final}
    assert same == {"mixer_concat", "pattern_last_half", "windows_14_7"}
    assert len(set(variants.values())) == len(variants) - 2


def test_small_windows_cost_a_quarter_of_the_products_in_stage_3() -> None:
    large, small = (archdsl.load(ABLATIONS, f"mambavision_windows_{w}").cost() for w in ("14_7", "7_7"))
    assert small.params == large.params
    assert large.macs.attention == 4 * (2 * 196**2 * 320) + 2 * (2 * 49**2 * 640)
    assert small.macs.attention == 4 * (2 * 196 * 49 * 320) + 2 * (2 * 49**2 * 640)


@pytest.mark.parametrize("size", [(100, 76), (33, 161), (224, 160), (31, 31)])
def test_maps_of_any_size(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = archdsl.build("mambavision", **SMALL).eval()
    images = torch.randn(2, 3, *size)
    grids = []
    h, w = size
    for level in range(5):
        h, w = -(-h // 2), -(-w // 2)
        grids += [(2, 8 * 2**level, h, w)] if level else []
    with torch.no_grad():
        tokens, maps = model.forward_intermediates(images)
        assert model(images).shape == (2, 5)
    assert [tuple(m.shape) for m in maps] == grids
    assert torch.equal(tokens.transpose(1, 2).reshape(maps[-1].shape), maps[-1])
    built = archdsl.build("mambavision", **SMALL, image=size).eval()
    built.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(built(images), model(images))


@pytest.mark.parametrize("windows", [("14", "7"), ("112", "56"), ("[5, 3]", "2")])
def test_padding_is_counted(windows: tuple[str, str]) -> None:
    within = {f"s{i}.within": f"windows({w}, pad = on)" for i, w in zip((3, 4), windows, strict=True)}
    arguments = SMALL | {"image": (100, 76), "overrides": within}
    assert_counted(archdsl.build("mambavision", **arguments, device="meta", backend="reference"))


def _scaled(**scales: float) -> set[str]:
    model = archdsl.build("mambavision", **SMALL, **scales, device="meta")
    return {name.split(".")[1] for name, _ in model.named_parameters() if name.endswith("gamma")}


def test_layer_scale_of_convolutions_is_a_setting_of_its_own() -> None:
    assert _scaled() == set()
    assert _scaled(layer_scale=0.1) == {"s3", "s4"}
    assert _scaled(layer_scale_conv=0.1) == {"s1", "s2"}
    assert _scaled(layer_scale=0.1, layer_scale_conv=0.1) == {"s1", "s2", "s3", "s4"}


def test_initial_weights() -> None:
    torch.manual_seed(0)
    changes = {"dim": 32, "depths": (1, 1, 4, 4), "s3.heads": 8, "s4.heads": 16}
    weights = archdsl.build("mambavision_b", overrides=changes).state_dict()
    drawn: dict[str, list[torch.Tensor]] = {"linear": [], "conv": []}
    for key, value in weights.items():
        end = key.rsplit(".")[-1]
        if end == "A_log":
            torch.testing.assert_close(value, torch.arange(1, 9).log().expand_as(value))
        elif end == "D" or (value.dim() == 1 and end == "weight"):
            assert (value == 1).all(), key
        elif end == "gamma":
            torch.testing.assert_close(value, torch.full_like(value, 1e-5))
        elif end == "bias" and "conv2d" not in key:
            assert (value == 0).all(), key
        elif end == "weight":
            kind = "conv" if "conv" in key else "linear"
            scale = (value[0].numel() ** -0.5) if kind == "conv" else 1
            drawn[kind].append(value.flatten() / scale)
    linear, conv = torch.cat(drawn["linear"]), torch.cat(drawn["conv"])
    assert linear.std() == pytest.approx(0.02, rel=0.01)
    assert linear.abs().max() > 4 * 0.02
    assert 0.999 < conv.abs().max() <= 1.0
    assert conv.std() == pytest.approx(3**-0.5, rel=0.01)
