"""`latency(table = ...)`: an objective that is the sum of measured block times."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.graph.block_times import BlockTimes, blocks_of
from archdsl.nas.choosers import Drawn
from archdsl.nas.read import check_search, read_search
from archdsl.nas.space import Candidate, Refusal

TEXT = """\
search fast {
  arch = tiny(dim = 8)
  vary { s2.blocks in 2 x each one_of(gated_conv, conv, attn) }
  task     = instant
  maximize = accuracy
  minimize = latency(batch = 1, table = "cpu.json")
  sampler  = random(seed = 0)
  budget   = trials(4)
}
"""


def times_of(plain: Path, without: str = "") -> BlockTimes:
    """A time for every block of every candidate: a tenth of a second for each, `attn` a whole one."""
    plan = read_search(plain, {"minimize": "macs"})
    rows: dict[str, object] = {}
    for point in plan.space.points():
        found = plan.candidates.at(point)
        assert isinstance(found, Candidate)
        for block in blocks_of(found.architecture, 1, "float32"):
            if block.name != without:
                seconds = 1.0 if block.name == "attn" else 0.1
                row = {"seconds": seconds, "samples": 1, "block": block.name, "input": str(block.input)}
                rows[block.key] = row
    data = {"device": "cpu", "name": "a processor", "threads": 1, "versions": {}, "blocks": rows}
    return BlockTimes.model_validate(data)


@pytest.fixture
def search(tmp_path: Path) -> Path:
    path = tmp_path / "fast.search"
    path.write_text(TEXT, encoding="utf-8")
    (tmp_path / "cpu.json").write_text(times_of(path).model_dump_json(), encoding="utf-8")
    return path


def test_the_objective_is_the_sum_of_the_block_times(search: Path) -> None:
    plan = read_search(search)
    (_, objective) = plan.objectives
    assert objective.text == 'latency(batch = 1, table = "cpu.json")'
    assert not objective.measured
    found = plan.candidates.at({"s2.blocks#1": "attn", "s2.blocks#2": "conv"})
    assert isinstance(found, Candidate)
    blocks = len(list(blocks_of(found.architecture, 1, "float32")))
    assert found.predicted == {objective.text: pytest.approx(1.0 + 0.1 * (blocks - 1))}


def test_a_search_runs_on_it_and_the_report_knows_it(search: Path, tmp_path: Path) -> None:
    study = archdsl.search(search, out=tmp_path / "run", workers=1)
    name = 'latency(batch = 1, table = "cpu.json")'
    trials = [t for t in study.results().trials if t.values]
    assert len(trials) == 4
    for trial in trials:
        attention = sum(text.count("attn") for text in trial.changes.values())
        others = trial.values[name] - attention
        assert others == pytest.approx(0.1 * round(others / 0.1))
        assert round(trial.values[name]) >= attention


def test_a_table_that_lacks_blocks_is_told_before_anything_starts(search: Path) -> None:
    table = search.parent / "cpu.json"
    table.write_text(times_of(search, without="attn").model_dump_json(), encoding="utf-8")
    (found,) = [d for d in check_search(search) if d.code == "E514"]
    assert found.span is not None
    assert found.span.line == 6
    assert "attn" in found.notes[0]
    assert "archdsl bench blocks fast.search --table cpu.json --batch 1" in found.help
    plan = read_search(search, {"minimize": "macs"})
    assert plan.candidates.at(plan.space.draw(Drawn(Random(0), {})))


def test_a_candidate_with_a_block_that_was_not_measured_is_refused(search: Path) -> None:
    plan = read_search(search)
    (_, objective) = plan.objectives
    assert objective.times is not None
    objective.times.blocks.clear()
    found = plan.candidates.at({"s2.blocks#1": "attn", "s2.blocks#2": "conv"})
    assert isinstance(found, Refusal)
    assert "cpu.json has no time of" in found.reason


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ('"none.json"', "is no table"),
        ('"../cpu.json"', "beside the search"),
        ('"/etc/passwd"', "beside the search"),
        ("3", "a table is a file"),
    ],
)
def test_other_files_are_no_tables(search: Path, argument: str, message: str) -> None:
    search.write_text(TEXT.replace('"cpu.json"', argument), encoding="utf-8")
    with pytest.raises(DiagnosticError) as caught:
        read_search(search)
    (found,) = caught.value.diagnostics
    assert message in found.message
    assert found.span is not None
    assert found.span.line == 6


def test_another_table_makes_another_study(search: Path) -> None:
    before = read_search(search).identity
    table = search.parent / "cpu.json"
    data = json.loads(table.read_text(encoding="utf-8"))
    next(iter(data["blocks"].values()))["seconds"] = 0.2
    table.write_text(json.dumps(data), encoding="utf-8")
    assert read_search(search).identity != before


def test_throughput_takes_no_table(search: Path) -> None:
    text = TEXT.replace("minimize = latency", "maximize = throughput").replace("maximize = accuracy\n", "")
    search.write_text(text, encoding="utf-8")
    assert any("has no `table`" in d.message for d in check_search(search))
