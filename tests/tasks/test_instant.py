"""The task that does nothing does it as every task does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import archdsl
from archdsl.graph.architecture import Architecture
from archdsl.tasks import RunError, find, read_task


@pytest.fixture
def tiny() -> Architecture:
    return archdsl.load("tiny", classes=10, channels=1)


def test_it_is_a_task_like_others(tiny: Architecture) -> None:
    task = read_task("instant(epochs = 4)")
    assert task.text() == "instant(epochs = 4)"
    assert (task.classes, task.channels) == (10, 1)
    run = task.start(tiny, seed=0)
    told: list[float] = []
    run.advance(3, told.append)
    assert run.epoch == 3
    assert told == [3.0]
    assert [e.epoch for e in run.curve] == [1, 2, 3]


def test_scores_follow_from_architecture_seed_and_epoch(tiny: Architecture) -> None:
    task = read_task("instant")

    def score(architecture: Architecture, seed: int, epoch: int) -> float:
        run = task.start(architecture, seed)
        run.advance(epoch)
        return run.scores()["accuracy"]

    assert score(tiny, 0, 2) == score(tiny, 0, 2)
    other = archdsl.load("tiny", dim=24, classes=10, channels=1)
    assert len({score(tiny, 0, 2), score(tiny, 1, 2), score(tiny, 0, 1), score(other, 0, 2)}) == 4
    assert all(0 <= score(tiny, seed, 1) < 1 for seed in range(50))


def test_it_goes_on_from_its_checkpoint_and_keeps_when_it_began(tiny: Architecture, tmp_path: Path) -> None:
    task = read_task("instant")
    before = time.time()
    run = task.start(tiny, 0)
    run.advance(2)
    run.save(tmp_path / "seed-0.ckpt")
    began = json.loads((tmp_path / "seed-0.ckpt").read_text())["began"]
    assert before <= began <= time.time()
    again = task.start(tiny, 0)
    again.restore(tmp_path / "seed-0.ckpt")
    assert again.epoch == 2
    again.save(tmp_path / "again.ckpt")
    assert json.loads((tmp_path / "again.ckpt").read_text())["began"] == began


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"digest": "other", "epoch": 1, "began": 1.5}'])
def test_it_refuses_other_files(tiny: Architecture, tmp_path: Path, text: str) -> None:
    (tmp_path / "seed-0.ckpt").write_text(text)
    with pytest.raises(RunError):
        read_task("instant").start(tiny, 0).restore(tmp_path / "seed-0.ckpt")


def test_there_is_nothing_to_measure(tiny: Architecture, tmp_path: Path) -> None:
    run = read_task("instant").start(tiny, 0)
    with pytest.raises(RunError, match="latency"):
        run.measure("latency", 64)
    run.save_weights(tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").stat().st_size > 0


def test_it_needs_no_torch() -> None:
    code = (
        "import sys, archdsl\n"
        "from archdsl.tasks import read_task\n"
        "run = read_task('instant').start(archdsl.load('tiny', classes=10, channels=1), 0)\n"
        "run.advance(1)\n"
        "print(sorted({'torch', 'sklearn', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout) == ("", "[]\n")


def test_it_is_found_by_its_name() -> None:
    assert find("instant") is not None
