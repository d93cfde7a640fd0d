"""Runs on the digits: the same numbers every time, also from a checkpoint; what goes wrong is told."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import archdsl
from archdsl.graph.architecture import Architecture
from archdsl.tasks import RunError, Task, read_task
from archdsl.tasks.digits import Digits

TASK = Digits(epochs=3, batch=128, lr=3e-3, mixup=0.2)


def weights(run: object) -> list[torch.Tensor]:
    return list(run._model.state_dict().values())  # type: ignore[attr-defined]


def test_it_learns(tiny: Architecture) -> None:
    run = read_task("digits(epochs = 4, lr = 1e-2, batch = 64, smoothing = 0)").start(tiny, 0)
    seen: list[float] = []
    run.advance(4, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 4
    assert [row.epoch for row in run.curve] == [1, 2, 3, 4]
    assert run.scores()["accuracy"] > 0.25
    assert run.scores("test")["accuracy"] > 0.25
    assert run.curve[-1].values["accuracy"] == run.scores()["accuracy"]


@pytest.mark.parametrize(
    "task", [TASK, TASK.changed({"optimizer": "sgd", "schedule": "constant"})], ids=Task.text
)
def test_a_restored_run_goes_on_bit_by_bit(task: Task, tiny: Architecture, tmp_path: Path) -> None:
    whole = task.start(tiny, 3)
    whole.advance(3)

    first = task.start(tiny, 3)
    first.advance(1)
    first.save(tmp_path / "1.ckpt")
    second = task.start(tiny, 3)
    torch.rand(7), random.random(), np.random.rand()  # what happens elsewhere in the process
    second.restore(tmp_path / "1.ckpt")
    second.advance(2)
    second.save(tmp_path / "2.ckpt")
    third = task.start(tiny, 3)
    third.restore(tmp_path / "2.ckpt")
    third.advance(3)

    assert third.curve == whole.curve
    assert third.scores("test") == whole.scores("test")
    assert all(torch.equal(a, b) for a, b in zip(weights(third), weights(whole), strict=True))


def test_runs_do_not_disturb_each_other(tiny: Architecture) -> None:
    alone, together, other = TASK.start(tiny, 0), TASK.start(tiny, 0), TASK.start(tiny, 1)
    alone.advance(2)
    for epoch in (1, 2):
        together.advance(epoch)
        other.advance(epoch)
    assert alone.curve == together.curve != other.curve


def test_the_generators_of_the_process_are_left_alone(tiny: Architecture) -> None:
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    expected = torch.rand(3), random.random(), np.random.rand(3)
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    run = TASK.start(tiny, 0)
    run.advance(1)
    run.scores("test")
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]
    assert np.array_equal(np.random.rand(3), expected[2])
    assert not torch.are_deterministic_algorithms_enabled()


def test_measuring_and_scoring_change_nothing(tiny: Architecture) -> None:
    plain, measured = TASK.start(tiny, 0), TASK.start(tiny, 0)
    for epoch in (1, 2):
        plain.advance(epoch)
        measured.advance(epoch)
        latency = measured.measure("latency", 4)
        assert 0 < latency < 10
        assert measured.measure("throughput", 4) > 0
        measured.scores("test")
    assert plain.curve == measured.curve


def test_a_loss_that_is_not_finite_ends_the_run(tiny: Architecture) -> None:
    task = Digits(epochs=3, lr=100, optimizer="sgd", clip=None, warmup=0)
    with pytest.raises(RunError, match=r"the loss is (nan|inf)") as caught:
        task.start(tiny, 0).advance(3)
    assert caught.value.kind == "nan"


def test_a_model_that_fits_no_memory_is_told() -> None:
    dims = {"dims": "[70000, 70000, 70000, 70000]"}
    huge = archdsl.load("mambaout_tiny", overrides=dims, image=32, channels=1, classes=10)
    with pytest.raises(RunError, match="GiB for its weights alone") as caught:
        Digits().start(huge, 0)
    assert caught.value.kind == "memory"


def test_a_step_that_fits_no_memory_is_told(tiny: Architecture) -> None:
    with pytest.raises(RunError, match="memory ran out") as caught:
        Digits().start(tiny, 0).measure("latency", 10**12)
    assert caught.value.kind == "memory"


def test_an_architecture_for_other_classes_is_refused(tiny: Architecture) -> None:
    with pytest.raises(RunError, match="tiny has 7 classes, the task `digits` has 10 classes") as caught:
        Digits().start(replace(tiny, classes=7), 0)
    assert caught.value.kind == "data"
    with pytest.raises(RunError, match="tiny has no head"):
        Digits().start(replace(tiny, head=None), 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02cos\nsystem\n", b"\0" * 4096])
def test_a_broken_checkpoint_is_told(content: bytes, tiny: Architecture, tmp_path: Path) -> None:
    path = tmp_path / "seed-0.ckpt"
    path.write_bytes(content)
    with pytest.raises(RunError, match="can't be read") as caught:
        TASK.start(tiny, 0).restore(path)
    assert caught.value.kind == "data"


def test_a_checkpoint_that_was_cut_off_is_told(tiny: Architecture, tmp_path: Path) -> None:
    path = tmp_path / "seed-0.ckpt"
    run = TASK.start(tiny, 0)
    run.save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(RunError, match="can't be read"):
        run.restore(path)


@pytest.mark.parametrize("what", ["seed", "task", "architecture", "file", "entry"])
def test_a_checkpoint_of_another_run_is_refused(what: str, tiny: Architecture, tmp_path: Path) -> None:
    path = tmp_path / "seed-0.ckpt"
    match what:
        case "seed":
            TASK.start(tiny, 1).save(path)
        case "task":
            TASK.changed({"lr": 0.5}).start(tiny, 0).save(path)
        case "architecture":
            TASK.start(replace(tiny, drop_path=0.0), 0).save(path)
        case "file":
            torch.save([1, 2], path)
        case "entry":
            torch.save({"format": 1}, path)
    with pytest.raises(RunError, match="is of another run"):
        TASK.start(tiny, 0).restore(path)


def test_weights_are_read_back(tiny: Architecture, tmp_path: Path) -> None:
    run = TASK.start(tiny, 0)
    run.advance(1)
    run.save_weights(tmp_path / "weights.safetensors")
    spec = tmp_path / "model.arch"
    spec.write_text(tiny.to_source())
    model = archdsl.build(spec, weights=tmp_path / "weights.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), weights(run), strict=True))


def test_epochs_beyond_the_task_are_refused(tiny: Architecture) -> None:
    with pytest.raises(ValueError, match="ends after 3 epochs"):
        TASK.start(tiny, 0).advance(4)
    with pytest.raises(ValueError, match="no split 'training'"):
        TASK.start(tiny, 0).scores("training")
    with pytest.raises(ValueError, match="no measure 'speed'"):
        TASK.start(tiny, 0).measure("speed", 1)


def test_the_learning_rate_rises_and_falls(tiny: Architecture) -> None:
    run = Digits(epochs=4, batch=512, lr=0.01, warmup=2).start(tiny, 0)
    run.advance(4)
    rates = [row.values["lr"] for row in run.curve]
    assert rates[0] < rates[1] > rates[2] > rates[3]
    assert max(rates) < 0.01
    assert all(math.isfinite(row.values["train_loss"]) for row in run.curve)


def test_errors_cross_processes_whole() -> None:
    error = copy.copy(RunError("nan", "the loss is nan"))
    assert (error.kind, str(error)) == ("nan", "the loss is nan")
