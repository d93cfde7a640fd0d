"""`archdsl bench search` and `archdsl bench sampler`, on a task that does nothing."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from archdsl.cli.bench.chart import Line, draw

MINE = """\
search mine {
  arch = tiny(dim = 8)
  vary {
    dim       in 8 .. 32 step 8
    s1.blocks in 2 x each one_of(gated_conv, conv)
  }
  task     = instant(epochs = 4)
  maximize = accuracy
  minimize = macs
  stop     = halving(rungs = [1, 4], eta = 2)
  budget   = trials(6)

  claim "not run here" { accuracy() > accuracy(dim = 16) }
}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.search"
    path.write_text(MINE)
    return path


def _held_against_random(archdsl: Any, mine: Path, seeds: int) -> tuple[Any, dict[str, Any]]:
    out, svg = mine.with_name("against.json"), mine.with_name("against.svg")
    done = archdsl("bench", "sampler", mine, "--seeds", seeds, "--workers", 1, "--out", out, "--svg", svg)
    assert done.status == 0, done.err
    return done, json.loads(out.read_text())


def test_a_search_is_held_against_random_search_of_the_same_cost(archdsl: Any, mine: Path) -> None:
    done, results = _held_against_random(archdsl, mine, 1)
    search, random = results["outcomes"]
    assert (search["who"], random["who"]) == ("the search", "random")
    assert search["trials"] == 6
    assert search["complete"] < 6, "some were stopped"
    assert random["complete"] == random["trials"], "none is stopped"
    assert search["epochs"] <= random["epochs"] < search["epochs"] + 4
    assert {"date", "machine", "versions", "search", "said"} <= set(results)
    for outcome in results["outcomes"]:
        assert set(outcome["winner"]) <= {"dim", "s1.blocks"}
        assert outcome["validation"] != outcome["test"]
    assert results["said"] in done.out
    assert "claim" not in {p.name for p in mine.parent.iterdir()}
    assert ET.fromstring(mine.with_name("against.svg").read_text()).tag.endswith("svg")


@pytest.mark.slow
def test_several_seeds_give_an_interval(archdsl: Any, mine: Path) -> None:
    done, results = _held_against_random(archdsl, mine, 3)
    assert [o["seed"] for o in results["outcomes"]] == [0, 0, 1, 1, 2, 2]
    assert "95% interval" in results["said"]
    assert done.out.count("random") >= 3


@pytest.mark.slow
def test_the_cost_of_a_search_is_measured(archdsl: Any, tmp_path: Path) -> None:
    out = tmp_path / "overhead.json"
    done = archdsl("bench", "search", "--trials", 12, "--repeats", 1, "--executor", "local", "--out", out)
    assert done.status == 0, done.err
    results = json.loads(out.read_text())
    assert {"date", "machine", "versions", "seconds", "bounds", "trials", "repeats"} <= set(results)
    assert results["bounds"].keys() < results["seconds"].keys()
    assert "a trial, local, in memory, random" in results["bounds"]
    assert "first trial, local, without torch" in results["bounds"]
    measured = [s for name, s in results["seconds"].items() if "without" not in name]
    assert len(measured) == 4
    assert all(seconds > 0 for seconds in measured), "those without torch are differences"


def test_an_unknown_executor_is_told(archdsl: Any) -> None:
    done = archdsl("bench", "search", "--executor", "slurm")
    assert done.status == 2
    assert "slurm" in done.err
    assert "Traceback" not in done.err


def test_the_picture_shows_every_search() -> None:
    lines = [
        Line("the search", [(3, 0.2), (9, 0.9), (40, 0.98)], 100, 0.97),
        Line("random <&>", [(9, 0.91), (20, 0.95)], 104, 0.94),
        Line("random <&>", [], 104, 0.9),
    ]
    text = draw("mine <&>", "accuracy", lines)
    root = ET.fromstring(text)
    assert len([e for e in root if e.tag.endswith("rect")]) == 1 + 2 + 3
    numbers = [float(v) for e in root for k, v in e.attrib.items() if k in {"x", "y"}]
    assert all(-5 <= number <= 760 for number in numbers)


def test_a_picture_of_equal_values_is_drawn() -> None:
    assert "<svg" in draw("mine", "accuracy", [Line("the search", [(1, 1.0)], 1, 1.0)])
