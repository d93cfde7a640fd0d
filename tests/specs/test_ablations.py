"""The ablations: every one is what its name says, costs what its module does, and trains a step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from counts import assert_counted
from families import family_of
from structures import one_of_each_structure

import archdsl
from archdsl.graph.architecture import Architecture

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


def _small_architecture(file: str, name: str) -> Architecture:
    """An ablation at reduced size, with 5 classes."""
    family = family_of(name)
    small = {**family.ablations, "classes": 5, "drop_path": 0}
    return archdsl.load(ABLATIONS / f"{file}.arch", name, overrides=family.overrides | small)


def _small(file: str, name: str, **placed: str) -> archdsl.Model:
    torch.manual_seed(0)
    return archdsl.build(_small_architecture(file, name), **placed)


def _images(model: archdsl.Model, batch: int, times: tuple[int, int] = (1, 1)) -> torch.Tensor:
    h, w = model.architecture.image
    return torch.randn(batch, model.architecture.channels, times[0] * h, times[1] * w)


@pytest.mark.parametrize("path", sorted(ABLATIONS.glob("*.arch")), ids=lambda path: path.stem)
def test_the_file_is_clean(path: Path) -> None:
    assert archdsl.check(path) == []


@pytest.mark.parametrize(("file", "name"), NAMES)
def test_the_canonical_text_means_the_same(file: str, name: str, tmp_path: Path) -> None:
    architecture = archdsl.load(ABLATIONS / f"{file}.arch", name)
    canonical = tmp_path / "canonical.arch"
    canonical.write_text(architecture.to_source(), encoding="utf-8")
    assert archdsl.load(canonical).digest() == architecture.digest()


@pytest.mark.parametrize(("file", "name"), NAMES)
def test_trains_a_step(file: str, name: str) -> None:
    model = _small(file, name).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    logits = model(_images(model, 4))
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    idle = tuple(family_of(name).idle.get(name, ()))
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert bool(parameter.grad.any()) != (bool(idle) and path.endswith(idle)), path
    optimizer.step()
    model.eval()
    with torch.no_grad():
        assert model(_images(model, 1, (2, 3))).isfinite().all()
        images = _images(model, 2)
        exact = model(images)
        rough = model.to(torch.bfloat16)(images.bfloat16())
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).abs().max() <= 0.1 * exact.abs().max() + 0.02


@pytest.mark.parametrize(("file", "name"), NAMES)
def test_cost_is_that_of_the_module(file: str, name: str) -> None:
    assert_counted(_small(file, name, device="meta", backend="reference"))


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name"), NAMES)
def test_cost_is_that_of_the_module_as_published(file: str, name: str) -> None:
    assert_counted(archdsl.build(ABLATIONS / f"{file}.arch", name, device="meta", backend="reference"))


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted({family for family, _ in NAMES}))
def test_every_structure_compiles(family: str) -> None:
    ablations = [_small_architecture(file, name) for file, name in NAMES if file == family]
    for architecture in one_of_each_structure(ablations):
        torch.manual_seed(0)
        torch._dynamo.reset()
        model = archdsl.build(architecture).train()
        torch.compile(model, fullgraph=True, backend="aot_eager")(_images(model, 2)).sum().backward()
        assert all(p.grad is not None for p in model.parameters()), architecture.name
