"""VMamba and its ablations: published counts, what differs from one ablation to the next, how scans start."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import archdsl
from archdsl.graph.architecture import Architecture
from archdsl.graph.cost import norms, scan9

ABLATIONS = Path(__file__).parents[2] / "specs" / "ablations" / "vmamba.arch"
SMALL: dict[str, Any] = {"dim": 32, "depths": (1, 1, 2, 1), "image": 32, "classes": 3}


def _load(name: str) -> Architecture:
    return archdsl.load(ABLATIONS, f"vmamba_{name}")


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("t", 30_249_064, "4.906"),
        ("t_s2l5", 30_705_832, "4.858"),
        ("s", 50_147_752, "8.716"),
        ("s_s1l20", 49_012_840, "8.612"),
        ("b", 88_557_800, "15.359"),
        ("b_s1l20", 86_614_504, "15.221"),
        ("vanilla_t", 22_893_448, "5.627"),
        ("vanilla_s", 44_417_416, "11.23"),
        ("vanilla_b", 76_254_056, "18.02"),
    ],
)
def test_counts_are_the_published_ones(name: str, params: int, macs: str) -> None:
    """With the scans as 9 L E N + L E, and 5 for each number of a layer norm."""
    published = name in ("t", "s", "b")
    architecture = archdsl.load(f"vmamba_{name}") if published else _load(name)
    cost = architecture.cost()
    assert cost.params == params
    counted = cost.macs.linear + cost.macs.conv + scan9(architecture) + norms(architecture)
    assert f"{counted / 1e9:.{len(macs.partition('.')[2])}f}" == macs


def test_steps_that_are_other_models() -> None:
    same = {"step_f": "t_s2l5", "step_e1": "state_16", "state_1": "t_s2l5"}
    assert all(_load(a).digest() == _load(b).digest() for a, b in same.items())
    published = archdsl.load("vmamba").digest()
    for name in ("step_g", "cross", "init_mamba", "init_rand", "mlp_4_ssm_1", "silu"):
        assert _load(name).digest() == published, name


def test_patterns_cost_the_same_and_differ() -> None:
    for conv in ("", "_no_conv"):
        patterns = [_load(f"{p}{conv}") for p in ("unidi", "bidi", "cascade", "cross")]
        assert len({p.digest() for p in patterns}) == 4
        assert len({(p.cost().params, p.cost().macs) for p in patterns}) == 1
    taken = archdsl.load("vmamba").cost().params - _load("cross_no_conv").cost().params
    assert taken == 9 * (2 * 96 + 2 * 192 + 8 * 384 + 2 * 768)


def test_cascade_scans_every_row_and_every_column() -> None:
    stage = _load("cascade").stages[1]
    assert stage.feature.grid == (28, 28)
    scans = [n for n in stage.blocks[0].walk() if n.op.name == "selective_scan"]
    assert [(n.input.windows, n.input.tokens) for n in scans] == [(28, 28)] * 4
    norm = [n for n in stage.blocks[0].walk() if n.op.name == "layer_norm"]
    assert len(norm) == 5


def _scans(init: str) -> dict[str, dict[str, Tensor]]:
    """Weights of the scans of the third stage by route and name."""
    torch.manual_seed(0)
    weights = archdsl.build("vmamba", overrides={"init": init, "state": 4}, **SMALL).state_dict()
    begin = "stages.s3.blocks.1.residual.mixing.core."
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        if key.startswith(begin):
            route, _, name = key.removeprefix(begin).partition(".")
            found.setdefault(route, {})[name] = value
    assert list(found) == ["rows", "columns", "rows_reverse", "columns_reverse"]
    return found


def test_every_route_starts_as_published() -> None:
    routes = _scans("vmamba")
    for scan in routes.values():
        bound = scan["dt_proj.weight"].shape[1] ** -0.5
        assert 0.9 * bound < scan["dt_proj.weight"].abs().max() <= bound
        steps = torch.nn.functional.softplus(scan["dt_proj.bias"])
        assert steps.min() >= 0.001 * 0.999
        assert steps.max() <= 0.1 * 1.001
        assert steps.log().std() == pytest.approx(math.log(100) / math.sqrt(12), rel=0.25)
        torch.testing.assert_close(scan["A_log"].exp(), torch.arange(1.0, 5.0).expand(128, 4))
        assert (scan["D"] == 1).all()
    drawn = [scan["dt_proj.bias"] for scan in routes.values()]
    assert all(not torch.equal(drawn[0], other) for other in drawn[1:])


def test_linears_start_small_and_convolutions_as_torch_has_them() -> None:
    torch.manual_seed(0)
    weights = archdsl.build("vmamba", **SMALL).state_dict()
    block = "stages.s4.blocks.0"
    for name in ("residual.mixing.linear", "residual.mixing.linear_2", "residual_2.mlp.fc1"):
        assert weights[f"{block}.{name}.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert (weights[f"{block}.residual_2.mlp.fc1.bias"] == 0).all()
    assert weights["stem.conv2d.conv.weight"].abs().max() == pytest.approx(27**-0.5, rel=0.05)


def test_other_initial_values_of_the_scans() -> None:
    for scan in _scans("vmamba_rand").values():
        assert scan["A_log"].std() == pytest.approx(1, rel=0.2)
        assert abs(scan["A_log"].mean()) < 0.2
        for part in ("weight", "bias"):
            assert scan[f"dt_proj.{part}"].std() == pytest.approx(0.1, rel=0.25)
        assert (scan["D"] == 1).all()
    for scan in _scans("vmamba_zero").values():
        assert (scan["A_log"] == 0).all()
        for part in ("weight", "bias"):
            assert 0 <= scan[f"dt_proj.{part}"].min() < 0.01
            assert 0.09 < scan[f"dt_proj.{part}"].max() <= 0.1
        assert (scan["D"] == 1).all()


@pytest.mark.parametrize("form", ["", "vanilla"])
def test_maps_of_any_image(form: str) -> None:
    source = ("vmamba", None) if not form else (ABLATIONS, "vmamba_vanilla_t")
    model = archdsl.build(*source, overrides={"state": 2}, **SMALL).eval()
    with torch.no_grad():
        maps = model.forward_intermediates(torch.randn(2, 3, 60, 92), intermediates_only=True)
    assert [tuple(m.shape) for m in maps] == [
        (2, 32, 15, 23),
        (2, 64, 8, 12),
        (2, 128, 4, 6),
        (2, 256, 2, 3),
    ]
