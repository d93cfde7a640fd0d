"""Rates of drop path over the blocks, as the arch or a stage sets them."""

from __future__ import annotations

from pathlib import Path

import pytest

import archdsl

SPEC = """\
block b { residual linear -> drop_path }
arch a(dim = 8) {
  stem = patch_embed(16, dim)
  %s
  stage s1 { blocks = 2 x b }
  stage s2 { %s; blocks = 3 x b }
  head = pool(mean) -> linear(classes)
}
"""


def _rates(path: Path) -> list[float]:
    model = archdsl.build(path, image=32, classes=3)
    blocks = [
        block for stage in ("s1", "s2") for block in model.get_submodule(f"stages.{stage}.blocks").children()
    ]
    return [max((getattr(m, "drop_prob", 0.0) for m in block.modules()), default=0.0) for block in blocks]


@pytest.mark.parametrize(
    ("arch", "stage", "rates"),
    [
        ("drop_path = 0.4", "dim = 8", [0, 0.1, 0.2, 0.3, 0.4]),
        ("drop_path = 0.4", "drop_path = 0.8", [0, 0.1, 0.4, 0.6, 0.8]),
        ("drop_path = 0.4", "drop_path = 0", [0, 0.1, 0, 0, 0]),
        ("drop_path = 0", "drop_path = 0.8", [0, 0, 0.4, 0.6, 0.8]),
    ],
)
def test_a_stage_may_set_its_own(arch: str, stage: str, rates: list[float], tmp_path: Path) -> None:
    path = tmp_path / "a.arch"
    path.write_text(SPEC % (arch, stage))
    assert _rates(path) == pytest.approx(rates)
    path.write_text(archdsl.load(path, image=32, classes=3).to_source())
    assert _rates(path) == pytest.approx(rates)
