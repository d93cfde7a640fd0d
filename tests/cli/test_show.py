"""`archdsl show` and `archdsl cost`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import archdsl as package


def test_the_tree_tells_where_values_come_from(archdsl: Any, small: str) -> None:
    done = archdsl("show", small, "--set", "s1.blocks=3 x scan(order = cross)")
    assert done.status == 0
    lines = [
        " ".join(line.replace("│", " ").replace("├── ", "").replace("└── ", "").split())
        for line in done.out.splitlines()
    ]
    assert lines[0] == "small 224 x 224 image, 3 channels, 1000 classes"
    assert "dim = 16 default, small.arch:1" in lines
    assert "3 x scan" in lines
    assert any(line.startswith("order = cross given, ") for line in lines)
    assert any(line.startswith("heads = 2 stage setting, small.arch:4") for line in lines)
    assert any(line.startswith("state = 16 default, prelude.arch:") for line in lines)
    assert "columns: like rows" in lines


def test_no_value_comes_from_a_file_that_is_none(archdsl: Any) -> None:
    lines = [" ".join(line.strip("│├└─ ").split()) for line in archdsl("show", "vit_ti").out.splitlines()]
    assert "act = gelu default" in lines
    assert not any("<" in line for line in lines)


def test_source_and_svg(archdsl: Any, small: str, tmp_path: Path) -> None:
    canonical = tmp_path / "canonical.arch"
    canonical.write_text(archdsl("show", small, "--source").out, encoding="utf-8")
    assert package.load(canonical).digest() == package.load(small).digest()
    picture = tmp_path / "picture.svg"
    done = archdsl("show", small, "--svg", picture)
    assert done.out == f"wrote {picture}\n"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    refused = archdsl("show", small, "--svg", tmp_path / "none" / "picture.svg")
    assert refused.status == 2
    assert refused.err.startswith("error[E508]")


def test_a_point_of_a_search(archdsl: Any, tmp_path: Path) -> None:
    point = '{"dim": 24, "s1.blocks": "conv", "s2.blocks#1": "attn", "s2.blocks#2": "none"}'
    search = tmp_path / "mine.search"
    search.write_text("""search mine {
  arch = tiny(dim = 16)
  vary {
    dim       in 8 .. 32 step 8
    s1.blocks in one_of(conv, gated_conv)
    s2.blocks in 2 x each one_of(scan, attn, none)
  }
  require params <= 40K
  task = digits(epochs = 9);  maximize = accuracy;  budget = trials(5)
}""")
    found = archdsl("show", search, "--source", "--point", point)
    (tmp_path / "point.arch").write_text(found.out, encoding="utf-8")
    changes = {"dim": 24, "s1.blocks": "conv", "s2.blocks": "attn"}
    by_hand = package.load("tiny", overrides=changes, classes=10, channels=1)
    assert package.load(tmp_path / "point.arch").digest() == by_hand.digest()
    larger = archdsl("show", search, "--point", point.replace("24", "32"))
    assert larger.status == 0, "more parameters than it requires"
    for wrong, told in (
        (point.replace("24", "25"), "dim goes in steps of 8, found 25"),
        ("dim = 24", "a point is JSON"),
        ("{}", "no point of the space: dim"),
    ):
        refused = archdsl("show", search, "--point", wrong)
        assert refused.status == 2
        assert refused.err.startswith("error[E510]")
        assert told in refused.err
    assert archdsl("show", search, "--point", point, "--classes", 3).status == 2


def test_cost_of_one_and_of_all(archdsl: Any, small: str) -> None:
    one = archdsl("cost", small, "--arch", "wide")
    assert f"{package.load(small, 'wide').cost().params:,}" in one.out
    assert "multiply-accumulates" in one.out
    every = archdsl("cost", small, "--all").out
    assert "small" in every
    assert "wide" in every


def test_narrow_terminals_keep_every_line_within_their_width(
    archdsl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = archdsl("cost", "hybrid")
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert f"{package.load('hybrid').cost().params:,} parameters" in done.out
    assert "4 x (scan + 2 x" in done.out


def test_cost_as_json(archdsl: Any, small: str) -> None:
    rows = json.loads(
        archdsl("cost", small, "mamba_r_tiny", "--image", "64x96", "--classes", "10", "--json").out
    )
    assert [row["name"] for row in rows] == ["small", "mamba_r_tiny"]
    expected = package.load(small, image=(64, 96), classes=10)
    total = expected.cost()
    row = rows[0]
    assert row["image"] == [64, 96]
    assert row["digest"] == expected.digest()
    assert row["params"] == total.params == sum(s["params"] for s in row["stages"])
    assert row["macs"]["total"] == total.macs.total
    assert row["macs"]["scan"] == total.macs.scan > 0


def test_mistakes_in_options_name_the_option(archdsl: Any, small: str) -> None:
    for arguments, code in (
        (["cost", "mamba_r_tinny"], "E509"),
        (["cost", small, "--arch", "wid"], "E509"),
        (["cost", small, "--set", "s1.blokcs=scan"], "E211"),
        (["cost", small, "--set", "dim=4 x"], "E1"),
        (["cost", small, "--image", "99999"], "E310"),
        (["show", "none/such.arch"], "E501"),
    ):
        done = archdsl(*arguments)
        assert done.status == 2, arguments
        assert done.err.startswith(f"error[{code}"), (arguments, done.err)


@pytest.mark.parametrize("columns", ["40", "63", "64", "80", "132"])
def test_numbers_are_whole_in_narrow_terminals(
    archdsl: Any, small: str, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = archdsl("cost", small)
    assert done.status == 0
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.out
    assert "params" in done.out
