"""MambaOut and timm's models give the same logits, with weights exchanged both ways."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models.mambaout import MambaOut

import archdsl
from archdsl.weights import load_weights, to_layout

DIMS, DEPTHS = (16, 24, 40, 48), (1, 2, 2, 1)
RW: dict[str, Any] = {
    "stem_mid_norm": False,
    "downsample": "conv_nf",
    "ls_init_value": 1e-5,
    "head_fn": "norm_mlp",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "mambaout_femto": {},
    "mambaout_kobe": {},
    "mambaout_tiny": {},
    "mambaout_small": {},
    "mambaout_base": {},
    "mambaout_small_rw": RW,
    "mambaout_base_short_rw": RW | {"expansion_ratio": 3.0, "conv_ratio": 1.25},
    "mambaout_base_tall_rw": RW | {"expansion_ratio": 2.5, "conv_ratio": 1.25},
    "mambaout_base_wide_rw": RW | {"expansion_ratio": 3.0, "conv_ratio": 1.5, "act_layer": "silu"},
    "mambaout_base_plus_rw": RW | {"expansion_ratio": 3.0, "conv_ratio": 1.5, "act_layer": "silu"},
}


def _exchange(ours: archdsl.Model, theirs: torch.nn.Module, size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size)
    ours.eval()
    theirs.eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    report = load_weights(ours, theirs.state_dict())
    assert report.complete
    assert report.layout == "mambaout_timm"
    with torch.no_grad():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
        for parameter in ours.parameters():
            parameter.mul_(1.1)
        theirs.load_state_dict(to_layout(ours, "mambaout_timm"))
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_small(name: str) -> None:
    torch.manual_seed(0)
    config = dict(VARIANTS[name])
    if config.get("act_layer") == "silu":
        config["act_layer"] = torch.nn.SiLU
    theirs = MambaOut(dims=DIMS, depths=DEPTHS, num_classes=7, **config)
    ours = archdsl.build(name, dims=DIMS, depths=DEPTHS, classes=7, image=(64, 96))
    _exchange(ours, theirs, (64, 96))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_registered_model_has_our_keys_and_shapes(name: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(name)
    ours = to_layout(archdsl.build(name, device="meta"), "mambaout_timm")
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.state_dict().items()}


def test_a_registered_model_in_full() -> None:
    torch.manual_seed(0)
    _exchange(archdsl.build("mambaout_femto", image=96), timm.create_model("mambaout_femto"), (96, 96))
