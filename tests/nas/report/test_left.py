"""What a search leaves in its folder."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.nas.report import Files
from archdsl.nas.results import Results, State

sys.path.insert(0, str(Path(__file__).parent))
import samples

SEARCH = """\
search left {
  arch = tiny(dim = 8)
  vary {
    s2.blocks in 2 x each one_of(scan, attn, gated_conv)
    MORE
  }
  task     = TASK
  maximize = accuracy
  minimize = macs
  stop     = halving(rungs = [1, 2])
  budget   = trials(4)
  repeat   = seeds(2)
}
"""


def _searched(folder: Path, task: str, more: str = "") -> Results:
    file = folder / "left.search"
    file.write_text(SEARCH.replace("TASK", task).replace("MORE", more), encoding="utf-8")
    return archdsl.search(file, out=folder / "study", workers=1).results()


def _row_again(folder: Path, state: State) -> tuple[dict[str, str], dict[str, float]]:
    """A row of the table, and the scores that its command prints."""
    with (folder / "study" / "trials.csv").open(encoding="utf-8", newline="") as file:
        row = next(r for r in csv.DictReader(file) if r["state"] == state.value)
    program, *arguments = shlex.split(row["run_once"])
    assert program == "archdsl"
    done = subprocess.run(
        [sys.executable, "-m", "archdsl", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    scores: dict[str, float] = json.loads(done.stdout)["scores"]
    return row, scores


def test_a_search_leaves_its_files(tmp_path: Path) -> None:
    found = _searched(tmp_path, "instant(epochs = 2)")
    study = tmp_path / "study"
    assert {p.name for p in study.iterdir()} >= {
        "report.html", "trials.csv", "winner.arch", "winner.safetensors", "search.search", "study.db"
    }  # fmt: skip
    with (study / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["state"] for r in rows] == [t.state.value for t in found.trials]
    assert found.winner is not None
    assert archdsl.load(study / "winner.arch").digest() == found.winner.trial.digest
    assert "finished" in (study / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("state", [State.COMPLETE, State.STOPPED])
def test_a_row_is_reproduced_by_its_command(tmp_path: Path, state: State) -> None:
    _searched(tmp_path, "digits(epochs = 2, rotate = 0)", "train.lr in 1e-3 .. 1e-2 log")
    row, scores = _row_again(tmp_path, state)
    assert float(row["accuracy"]) == scores["accuracy"]


def test_files_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    (tmp_path / "study" / "report.html").mkdir(parents=True)
    with pytest.raises(DiagnosticError) as caught:
        _searched(tmp_path, "instant(epochs = 2)")
    assert caught.value.diagnostics[0].code == "E508"
    assert (tmp_path / "study" / "winner.arch").is_file()


def test_the_page_is_fresh_while_a_search_runs(tmp_path: Path) -> None:
    found = samples.results(3, finished=False)
    files = Files(tmp_path, period=0.0)
    files.changed(found.trials[0])
    assert list(tmp_path.iterdir()) == []
    files.follow(lambda: found)
    files.changed(found.trials[0])
    assert "not finished" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_an_earlier_winner_goes(tmp_path: Path) -> None:
    for name in ("winner.arch", "winner.diff", "winner.safetensors"):
        (tmp_path / name).write_bytes(b"old")
    files = Files(tmp_path)
    files.ended(samples.results(0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "trials.csv"]
