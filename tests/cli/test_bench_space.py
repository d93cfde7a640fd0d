"""`archdsl bench space`: candidates counted and drawn, beside other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archdsl.cli.bench.peers import spaces
from archdsl.nas.factored import Drawn

SEARCH = """\
search few {
  arch = tiny(dim = 8)
  vary {
    dim       in 8 .. 24 step 8
    s1.blocks in 3 x each one_of(none, gated_conv, conv)
    s2.heads  in one_of(2, 3)
    s2.blocks in 2 x each one_of(attn, gated_conv)
  }
  require params <= 60K
  task     = instant
  maximize = accuracy
  budget   = trials(4)
}
"""


def test_candidates_are_counted_and_drawn(archdsl: Any, tmp_path: Path) -> None:
    search, out = tmp_path / "few.search", tmp_path / "space.json"
    search.write_text(SEARCH, encoding="utf-8")
    done = archdsl("bench", "space", search, "--quick", "--out", out)
    assert done.status == 0, done.err
    results = json.loads(out.read_text(encoding="utf-8"))
    size, drawn = results["space"], results["drawn"]
    assert size["points"] == 3 * 27 * 2 * 4
    assert size["distinct"] < size["compiling"] < size["points"]
    assert 0 < drawn["drawn"] <= size["distinct"]
    assert drawn["wrong"] == 0
    assert results["counted"]["per_second"] > 0
    for name in ("NePS", "PyGlove"):
        row = results["peers"][name]
        assert "archdsl[bench-space]" in row.get("missing", "archdsl[bench-space]")
    assert "valid, different candidates/s" in done.out


def test_what_is_drawn_wrong_is_found(archdsl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = tmp_path / "few.search"
    search.write_text(SEARCH, encoding="utf-8")
    monkeypatch.setattr(Drawn, "digest", property(lambda self: str(self.tokens)))
    done = archdsl("bench", "space", search, "--quick")
    assert done.status == 1
    assert " 0 of" not in done.out


@pytest.mark.parametrize("tool", spaces.SPACE_TOOLS, ids=lambda tool: tool.name)
def test_a_tool_draws_a_value_for_every_choice(tool: spaces.SpaceTool) -> None:
    if tool.missing():
        pytest.skip(tool.missing())
    choices = {"dim": (8, 16, 24), "s1.blocks#1": ("conv", "attn")}
    draw = tool.prepare(choices, 0)
    found = [draw() for _ in range(40)]
    assert all(set(values) == set(choices) for values in found)
    assert {values["dim"] for values in found} == {8, 16, 24}
    assert {values["s1.blocks#1"] for values in found} == {"conv", "attn"}


def test_a_space_that_is_not_taken_apart_is_refused(archdsl: Any, tmp_path: Path) -> None:
    search = tmp_path / "real.search"
    text = SEARCH.replace("dim       in 8 .. 24 step 8", "drop_path in 0.0 .. 0.5")
    search.write_text(text, encoding="utf-8")
    done = archdsl("bench", "space", search, "--quick")
    assert done.status == 2
    assert "E510" in done.err
