"""Initial weights: what the papers' code draws, measured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import archdsl
from archdsl.features import Word
from archdsl.graph.recipes import init_arguments, init_recipes


@pytest.fixture(scope="module")
def tiny() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return dict(archdsl.build("mamba_r_tiny").state_dict())


def _all(weights: dict[str, Tensor], end: str) -> Tensor:
    """All values of the trunk's tensors whose key ends so."""
    found = [v.flatten() for k, v in weights.items() if k.startswith("stages.") and k.endswith(end)]
    assert found, end
    return torch.cat(found)


@pytest.mark.parametrize(
    ("end", "bound"),
    [
        (".mamba.linear.weight", 192**-0.5),
        (".rows.selective_scan.x_proj.weight", 384**-0.5),
        (".rows_reverse.selective_scan.x_proj.weight", 384**-0.5),
        (".rows.conv1d.weight", 0.5),
        (".rows_reverse.conv1d.bias", 0.5),
        (".rows.selective_scan.dt_proj.weight", 12**-0.5),
        (".rows_reverse.selective_scan.dt_proj.weight", 12**-0.5),
        (".mamba.linear_2.weight", 384**-0.5 / math.sqrt(24)),
    ],
)
def test_vim_uniform(tiny: dict[str, Tensor], end: str, bound: float) -> None:
    values = _all(tiny, end)
    assert values.abs().max() <= bound
    assert values.abs().max() > 0.99 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize(
    ("key", "std"),
    [
        ("stem.patch_embed.proj.weight", 0.0410),
        ("head.linear.weight", 0.02),
        ("stem.position.weight", 0.02),
        ("stem.registers.weight", 0.02),
        ("stem.registers.position", 0.02),
    ],
)
def test_vim_normal(tiny: dict[str, Tensor], key: str, std: float) -> None:
    values = tiny[key]
    assert values.std() == pytest.approx(std, rel=0.03 if values.numel() > 10_000 else 0.06)
    if values.numel() > 100_000:
        assert values.abs().max() > 4 * std  # not cut at two standard deviations


def test_vim_steps_differ_between_the_routes(tiny: dict[str, Tensor]) -> None:
    forward = _all(tiny, ".rows.selective_scan.dt_proj.bias")
    backward = _all(tiny, ".rows_reverse.selective_scan.dt_proj.bias")
    steps = torch.nn.functional.softplus(forward)
    assert (backward == 0).all()
    assert steps.min() >= 0.001 * 0.999
    assert steps.max() <= 0.1 * 1.001
    assert forward.mean() == pytest.approx(-4.6, abs=0.1)
    assert steps.log().std() == pytest.approx(math.log(100) / math.sqrt(12), rel=0.02)


def test_vim_constants(tiny: dict[str, Tensor]) -> None:
    for route in ("rows", "rows_reverse"):
        a_log = tiny[f"stages.trunk.blocks.3.residual.mamba.split.inner.{route}.selective_scan.A_log"]
        torch.testing.assert_close(a_log, torch.arange(1, 17).log().expand(384, 16))
        assert (_all(tiny, f".{route}.selective_scan.D") == 1).all()
    assert (_all(tiny, ".norm.weight") == 1).all()
    assert (tiny["stem.patch_embed.proj.bias"] == 0).all()
    assert (tiny["head.linear.bias"] == 0).all()


def test_neck_of_the_head() -> None:
    model = archdsl.build("mamba_r", dim=256, depth=1, image=64)
    assert model.state_dict()["head.concat.neck.weight"].std() == pytest.approx(0.02, rel=0.05)


def test_mambaout_is_normal_with_zero_biases() -> None:
    torch.manual_seed(2)
    weights = archdsl.build("mambaout_femto", image=64).state_dict()
    for key, value in weights.items():
        if key.endswith("bias"):
            assert (value == 0).all(), key
        elif value.dim() == 1:
            assert (value == 1).all(), key
        elif value.numel() > 2000:
            assert value.std() == pytest.approx(0.02, rel=0.08), key
    assert weights["head.linear.weight"].abs().max() > 0.08


def test_layer_scale_starts_where_the_spec_says() -> None:
    model = archdsl.build("mambaout_small_rw", dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), image=32)
    for key, value in model.state_dict().items():
        if key.endswith("gamma"):
            torch.testing.assert_close(value, torch.full_like(value, 1e-5))


def test_mambavision_overwrites_the_steps() -> None:
    torch.manual_seed(0)
    weights = archdsl.build(
        "mamba_r", dim=128, depth=2, image=64, overrides={"init": "mambavision"}
    ).state_dict()
    assert (_all(weights, "dt_proj.bias") == 0).all()
    assert _all(weights, "dt_proj.weight").std() == pytest.approx(0.02, rel=0.05)
    assert _all(weights, "x_proj.weight").std() == pytest.approx(0.02, rel=0.05)
    assert _all(weights, "conv1d.weight").abs().max() > 0.45


def test_vmamba_starts_every_route_as_mamba() -> None:
    torch.manual_seed(0)
    weights = archdsl.build("mamba_r", dim=128, depth=2, image=64, overrides={"init": "vmamba"}).state_dict()
    for route in ("rows", "rows_reverse"):
        steps = torch.nn.functional.softplus(_all(weights, f".{route}.selective_scan.dt_proj.bias"))
        assert 0.0009 < steps.min() < steps.max() < 0.11
    assert _all(weights, ".mamba.linear_2.weight").std() == pytest.approx(0.02, rel=0.05)


GATED = """
mixer forgetting = linear_attention(4, 8, value = project, input_gate, forget_gate, shortcut)
block both_ways { residual linear -> routed(forgetting, order = both) }
block last { residual forgetting }
arch gated_attention(dim = 128) {
  stem = patch_embed(8, dim)
  stage only { blocks = both_ways + last }
  head = pool(mean) -> linear(classes)
}
"""


@pytest.mark.parametrize("recipe", ["trunc_normal", "vim", "mambavision", "vmamba"])
def test_gates_of_linear_attention_start_as_those_of_scans(recipe: str, tmp_path: Path) -> None:
    spec = tmp_path / "gated.arch"
    spec.write_text(GATED)
    torch.manual_seed(0)
    weights = archdsl.build(spec, image=16, overrides={"init": recipe}).state_dict()
    for route in ("rows", "rows_reverse"):
        bias = _all(weights, f".{route}.gate_out.bias")
        if recipe == "mambavision" or (recipe == "vim" and route == "rows_reverse"):
            assert (bias == 0).all()
        else:
            steps = torch.nn.functional.softplus(bias)
            assert 0.0009 < steps.min() < steps.max() < 0.11
    assert (_all(weights, ".D") == 1).all()
    torch.testing.assert_close(_all(weights, ".A_log").view(-1, 8)[5].exp(), torch.arange(1.0, 9.0))
    qk, first = _all(weights, ".qk.weight"), _all(weights, ".gate_in.weight")
    spread = 128**-0.5 / math.sqrt(3) if recipe == "vim" else 0.02
    assert qk.std() == pytest.approx(spread, rel=0.05)
    assert first.std() == pytest.approx(spread, rel=0.1)
    up = _all(weights, ".gate_out.weight")
    assert up.std() == pytest.approx(0.02 if recipe == "mambavision" else 8**-0.5 / math.sqrt(3), rel=0.1)


def test_mila_leaves_convolutions_alone() -> None:
    """Linears as published; convolutions uniform up to 1 / sqrt(fan in), biases too."""
    torch.manual_seed(0)
    weights = archdsl.build("mila", dim=64, depths=[1, 1, 1, 1], image=64).state_dict()
    assert _all(weights, "linear_attention.qk.weight").std() == pytest.approx(0.02, rel=0.05)
    assert (_all(weights, "mlp.fc1.bias") == 0).all()
    assert weights["stages.s2.downsample.conv2d.conv.weight"].abs().max() == pytest.approx(1 / 8, rel=0.01)
    assert _all(weights, "lepe.weight").abs().max() == pytest.approx(1 / 3, rel=0.01)
    assert _all(weights, "cpe.conv.bias").std() == pytest.approx(1 / 3 / 3**0.5, rel=0.1)


@pytest.mark.parametrize("recipe", [*init_recipes(), "trunc_normal(0.01)"])
def test_every_recipe_serves_every_composition_and_follows_the_seed(recipe: str) -> None:
    draws = []
    for _ in range(2):
        torch.manual_seed(7)
        draws.append(archdsl.build("hybrid", dim=16, image=112, overrides={"init": recipe}).state_dict())
    assert all(torch.equal(draws[0][k], draws[1][k]) for k in draws[0])
    assert all(v.isfinite().all() for v in draws[0].values())


def test_every_file_of_recipes_is_found() -> None:
    assert {"trunc_normal", "vim", "mambavision", "mila", "vmamba", "vmamba_zero"} <= set(init_recipes())
    assert all(recipe.name == name for name, recipe in init_recipes().items())
    assert init_arguments(Word("trunc_normal")) == (0.02,)


@pytest.mark.parametrize(
    "word",
    [
        Word("xavier"),
        Word("vim", (1,)),
        Word("trunc_normal", (-1,)),
        Word("trunc_normal", (), (("sigma", 1),)),
    ],
)
def test_what_is_no_recipe(word: Word) -> None:
    with pytest.raises(ValueError, match=r"expected one of|takes|is a number"):
        init_arguments(word)


def test_vim_finds_the_last_linear_of_a_branch_before_a_tail_with_a_name(tmp_path: Path) -> None:
    weights = []
    for definitions, branch in (
        ("", "linear -> layer_scale(0.1) -> drop_path(0.1)"),
        ("mixer tail = layer_scale(0.1) -> drop_path(0.1)\n", "linear -> tail"),
        ("mixer last = linear -> layer_scale(0.1)\n", "last -> partial(drop_path(0.1), 16)"),
    ):
        text = (
            f"{definitions}arch a(dim = 16) {{\n  init = vim\n  stem = patch_embed(16, dim)\n"
            f"  stage s {{ blocks = 4 x residual({branch}) }}\n  head = pool(mean) -> linear(classes)\n}}\n"
        )
        (tmp_path / "a.arch").write_text(text)
        torch.manual_seed(0)
        model = archdsl.build(tmp_path / "a.arch")
        weights.append(next(v for k, v in model.state_dict().items() if k.endswith("linear.weight")))
    assert weights[0].abs().max() <= 16**-0.5 / 2
    assert all(torch.equal(w, weights[0]) for w in weights)
