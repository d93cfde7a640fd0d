"""Mamba-R reproduces the numbers of the official code, at every feature that a fixture stores.

The fixtures stand in tests/data/goldens/mamba_r; `families.official_mamba` reads them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from families.official_mamba import (
    Fixture,
    assert_reproduced,
    feature_names,
    image_size,
    read,
    scan_sizes,
)
from safetensors.torch import load_file

import archdsl
from archdsl.features import Extra, segments
from archdsl.graph.architecture import Architecture
from archdsl.weights import load_weights, to_layout
from archdsl.weights.positions import Places, resize_positions

FOLDER = Path(__file__).parents[1] / "data" / "goldens" / "mamba_r"
FIXTURES = sorted(p.stem for p in FOLDER.glob("mambar_*.json"))
REAL = {"mambar_tiny_patch16_224": "mamba_r_tiny"}


def _architecture(fixture: Fixture) -> Architecture:
    """The spec of a fixture's configuration: a shipped arch, changed by parameters and overrides."""
    config = fixture.config
    common = {"image": image_size(config), "classes": config["num_classes"]}
    if fixture.about["entry"] in REAL:
        return archdsl.load(REAL[fixture.about["entry"]], **common)
    patch = config.get("patch_size", 16)
    state, conv, expand = scan_sizes(config)
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


def test_no_fixture_is_missing() -> None:
    small = ("a", "b_rect_reduce2", "c_odd_ssmcfg", "d_layernorm", "e_epsprobe")
    assert [*(f"mambar_small_{s}" for s in small), "mambar_tiny_patch16_224_real"] == FIXTURES
    for name in FIXTURES:
        fixture = read(FOLDER, name)
        assert set(fixture.features) == feature_names(fixture, fixture.about["entry"] in REAL)


@pytest.mark.usefixtures("scan_backend")
@pytest.mark.parametrize("name", FIXTURES)
def test_every_stored_feature(name: str) -> None:
    fixture = read(FOLDER, name)
    assert_reproduced(fixture, archdsl.build(_architecture(fixture)), "mamba_r")


@pytest.mark.parametrize("name", FIXTURES)
def test_tokens_stand_where_the_official_code_puts_them(name: str) -> None:
    fixture = read(FOLDER, name)
    architecture = _architecture(fixture)
    tokens = architecture.stages[0].feature
    order: list[int] = []
    for extra, start, stop in segments(tokens.patches, tokens.extras):
        order += range(start, stop) if extra < 0 else range(tokens.patches + start, tokens.patches + stop)
    assert order == fixture.about["token_idx"]
    assert [i for i, t in enumerate(order) if t >= tokens.patches] == fixture.about["register_positions"]


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
    fixture = read(FOLDER, "mambar_small_b_rect_reduce2")
    model = archdsl.build(_architecture(fixture))
    load_weights(model, fixture.weights)
    back = to_layout(model, "mamba_r")
    assert back.keys() == fixture.weights.keys()
    for key, value in fixture.weights.items():
        assert torch.equal(back[key], value), key
