"""Weights shared between routes: one set in a block, another in the next."""

from __future__ import annotations

from pathlib import Path

import archdsl

SPEC = """\
mixer m = routed(shared(conv1d(4, causal)) -> selective_scan(2), order = both)
arch a(dim = 8) {
  stem = patch_embed(16, dim)
  stage s1 { blocks = 2 x metaformer(m -> m) }
  head = pool(mean) -> linear(classes)
}
"""


def test_shared_inside_shared_counts_once(tmp_path: Path) -> None:
    inside = "routed(shared(routed(shared(linear(bias = off)), order = both)), order = both)"
    path = tmp_path / "a.arch"
    path.write_text(SPEC.replace("metaformer(m -> m)", f"residual({inside})"))
    model = archdsl.build(path, image=32, classes=3)
    assert len([p for p in model.parameters() if p.shape == (8, 8)]) == 2  # one in each block
    cost = archdsl.load(path, image=32, classes=3).cost()
    assert sum(p.numel() for p in model.parameters()) == cost.params


def test_routes_share_and_blocks_do_not(tmp_path: Path) -> None:
    path = tmp_path / "a.arch"
    path.write_text(SPEC)
    model = archdsl.build(path, image=32, classes=3)
    assert len([p for p in model.parameters() if p.shape == (8, 1, 4)]) == 4  # two mixers in two blocks
    cost = archdsl.load(path, image=32, classes=3).cost()
    assert sum(p.numel() for p in model.parameters()) == cost.params
