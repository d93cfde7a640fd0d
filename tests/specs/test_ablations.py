"""The ablations: every one loads, is what its name says, and trains a step at a small size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from families import FAMILIES

import archdsl

ABLATIONS = Path(__file__).parents[2] / "specs" / "ablations"
NAMES = [
    (path.stem, name)
    for path in sorted(ABLATIONS.glob("*.arch"))
    for name in re.findall(r"^arch (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
]


def _params(family: str, name: str) -> int:
    return archdsl.load(ABLATIONS / f"{family}.arch", name).cost().params


def test_all_are_here() -> None:
    mamba_r = {name for family, name in NAMES if family == "mamba_r"}
    assert mamba_r >= {f"mamba_r_registers_{n}" for n in (0, 1, 2, 4, 8, 12, 16)}
    assert mamba_r >= {f"mamba_r_at_{place}" for place in ("even", "start", "middle", "end")}
    assert mamba_r >= {
        f"mamba_r_{head}" for head in ("concatenated", "averaged", "class_token", "patch_mean")
    }
    assert any(family == "mambaout" for family, _ in NAMES)


@pytest.mark.parametrize("registers", range(1, 17))
def test_a_register_costs_itself_its_position_and_its_share_of_the_head(registers: int) -> None:
    per_register = 2 * 192 + 192 * 1000
    expected = 9_264_232 - (12 - registers) * per_register
    assert archdsl.load("mamba_r_tiny", registers=registers).cost().params == expected
    if ("mamba_r", f"mamba_r_registers_{registers}") in NAMES:
        assert _params("mamba_r", f"mamba_r_registers_{registers}") == expected


def test_without_registers_the_head_reads_the_mean() -> None:
    assert _params("mamba_r", "mamba_r_registers_0") == 9_264_232 - 12 * (2 * 192) - 11 * 192 * 1000


@pytest.mark.parametrize("place", ["even", "start", "middle", "end"])
def test_the_place_costs_nothing(place: str) -> None:
    assert _params("mamba_r", f"mamba_r_at_{place}") == 9_264_232


def test_the_places_differ() -> None:
    digests = {
        archdsl.load(ABLATIONS / "mamba_r.arch", f"mamba_r_at_{p}").digest()
        for p in ("even", "start", "middle", "end")
    }
    assert len(digests) == 4


def test_the_class_token_variant_is_vim_tiny() -> None:
    assert _params("mamba_r", "mamba_r_class_token") == 7_148_008


def test_the_scan_costs_what_its_matrices_cost() -> None:
    plain = archdsl.load("mambaout_tiny").cost().params
    inner = 256 * 6  # the first half of the gate is 8 / 3 x 576 wide
    rank = 36
    scan = inner * (rank + 2 * 16) + rank * inner + inner + inner * 16 + inner
    s3_inner, s3_rank = 1024, 24
    s3 = s3_inner * (s3_rank + 2 * 16) + s3_rank * s3_inner + s3_inner + s3_inner * 16 + s3_inner
    assert _params("mambaout", "mambaout_scan_late") == plain + 3 * scan + 9 * s3


@pytest.mark.parametrize(("family", "name"), NAMES)
def test_trains_a_step(family: str, name: str) -> None:
    torch.manual_seed(0)
    small = FAMILIES[family].ablations | {"classes": 5, "drop_path": 0}
    model = archdsl.build(ABLATIONS / f"{family}.arch", name, overrides=small)
    model.train()
    images, labels = torch.randn(2, 3, *model.architecture.image), torch.tensor([0, 3])
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not missing
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    assert model(images).isfinite().all()
