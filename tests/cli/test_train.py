"""`archdsl train` and `archdsl run-once`: trained models on disk, and numbers that come again."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

TASK = "digits(epochs = 3, batch = 128, lr = 0.003)"
TINY = """\
arch tiny(dim = 8, drop_path = 0.3) {
  image = 8
  stem = patch_embed(4, dim)
  stage s1 { heads = 2;  blocks = scan(state = 2) + attn(mlp_ratio = 1) }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.arch"
    path.write_text(TINY)
    return str(path)


def test_a_trained_model_is_built_again(archdsl: Any, tiny: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = archdsl("train", tiny, "--task", TASK, "--seeds", 2, "--out", out)
    assert done.status == 0, done.err
    assert sorted(p.name for p in out.iterdir()) == [
        "curve.csv", "model.arch", "results.json", "weights.safetensors",
    ]  # fmt: skip
    assert "test" in done.out
    assert "on the same test images: 3-NN 98." in done.out
    found = json.loads((out / "results.json").read_text())
    assert found["task"] == TASK
    assert found["arch"]["params"] == 1346
    assert [s["seed"] for s in found["seeds"]] == [0, 1]
    tests = [s["test"]["accuracy"] for s in found["seeds"]]
    assert found["mean"]["test"]["accuracy"] == pytest.approx(sum(tests) / 2)
    assert {"3-NN", "SVM"} == set(found["baselines_test_accuracy"])
    rows = list(csv.DictReader((out / "curve.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[-1]["accuracy"]) == found["mean"]["validation"]["accuracy"]

    built = archdsl("build", out / "model.arch", "--weights", out / "weights.safetensors")
    assert built.status == 0, built.err
    assert "29 of 29 tensors loaded" in built.err

    again = archdsl("run-once", out / "model.arch", "--task", TASK, "--seed", 1)
    assert again.status == 0, again.err
    scores = json.loads(again.out)
    assert scores["scores"] == found["seeds"][1]["validation"]
    assert scores["digest"] == found["arch"]["digest"]
    assert again.err.splitlines()[-1].startswith("tiny after 3 epochs, validation: accuracy ")


def test_the_same_numbers_as_the_trial_of_a_search(archdsl: Any, tiny: str, tmp_path: Path) -> None:
    from archdsl import load
    from archdsl.graph.architecture import Architecture
    from archdsl.nas.evaluation import Evaluation
    from archdsl.nas.jobs import Job

    architecture: Architecture = load(tiny, overrides={"dim": 12}, channels=1, classes=10)
    folder = str(tmp_path / "trial-0")
    job = Job("trial-0", architecture.to_source(), TASK, (0, 1), (1, 3), (), folder)
    torch.set_num_threads(1)
    early, last = Evaluation(job).reports()
    options = ("--set", "dim=12", "--task", TASK, "--seeds", 2)
    assert json.loads(archdsl("run-once", tiny, *options).out)["scores"] == last.values
    assert json.loads(archdsl("run-once", tiny, *options, "--epochs", 1).out)["scores"] == early.values


@pytest.mark.slow
def test_an_interrupted_training_goes_on(tiny: str, tmp_path: Path) -> None:
    out, task = tmp_path / "out", "digits(epochs = 12, batch = 256)"
    command = [sys.executable, "-m", "archdsl", "train", tiny, "--task", task, "--out", str(out)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    unfinished = out / "unfinished"
    until = time.monotonic() + 120
    while not (unfinished / "report-1.json").exists():
        assert first.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not (out / "model.arch").exists()
    reports = len(list(unfinished.glob("report-*.json")))
    assert 1 <= reports < 12

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    curve = (out / "curve.csv").read_text()
    assert len(curve.splitlines()) == 13
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "digit"), "error[E404]: there is no task `digit`"),
        (("--task", "digits(lr = 0)"), "error[E404]: `lr` is out of range"),
        (("--task", "digits", "--epochs", "20000"), "error[E404]: `epochs` is out of range"),
        (
            ("--task", "digits", "--seed", "1", "--seeds", "2"),
            "error[E510]: --seed and --seeds are both given",
        ),
        (("--task", 'imagefolder(path = "/nowhere")'), "error[E418]: there is no folder /nowhere"),
        (("--task", "digits", "--set", "head=none"), "error[E510]: tiny has no head to train"),
        (("--task", "digits(lr = 100, optimizer = sgd, clip = none)"), "error[E419]: the loss is "),
        (("--task", "digits", "--out", "/proc/nothing"), "error[E508]: cannot write to /proc/nothing"),
        ((), "error[E510]: missing option '--task'"),
    ],
)
def test_mistakes_are_told(archdsl: Any, tiny: str, options: tuple[str, ...], message: str) -> None:
    done = archdsl("train", tiny, *options)
    assert done.status == 2
    assert done.err.startswith(message), done.err
    assert "= help: " in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_more_epochs_than_the_task_has_are_refused(archdsl: Any, tiny: str) -> None:
    done = archdsl("run-once", tiny, "--task", TASK, "--epochs", 4)
    assert done.status == 2
    assert "error[E510]: --epochs 4: the task ends after 3" in done.err
