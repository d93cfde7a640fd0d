"""The executor `ray`: real actors, every way to fail, results where users of Ray Tune look for them."""

from __future__ import annotations

import csv
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError, Source
from archdsl.nas.board import Pause, Resources
from archdsl.nas.evaluation import WEIGHTS, Evaluation
from archdsl.nas.executors.ray import RayExecutor
from archdsl.nas.jobs import Failure, Job, Report

pytest.importorskip("ray.tune", reason="needs the extra `ray`")
pytestmark = pytest.mark.usefixtures("faulty_tasks", "home")

TINY = """
arch tiny(dim = 8) {
  image = 16;  channels = 1;  classes = 10
  stem = patch_embed(4, dim)
  stage s1 { blocks = 2 x attn(heads = 2) }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""


def job(study: Path, name: str, task: str, **changes: object) -> Job:
    given = {
        "seeds": (0, 1),
        "rungs": (1, 3),
        "measures": (),
        "folder": str(study / "trials" / name),
        **changes,
    }
    arch = archdsl.load(Source("tiny", TINY)).to_source()
    return Job(id=name, arch=arch, task=task, **given)  # type: ignore[arg-type]


@dataclass
class Board:
    """Hands out a list of jobs and keeps what comes back.

    Args:
        jobs: in order; those after a `None` are handed out when the ones before it are over.
        lives: of each job.
        stop_at: epochs at which jobs are stopped early.
    """

    jobs: list[Job | None]
    lives: int = 3
    stop_at: dict[str, int] = field(default_factory=dict)
    reports: dict[str, list[Report]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, Failure] = field(default_factory=dict)
    losses: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    progressed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    out: dict[str, int] = field(default_factory=dict)

    def next(self) -> Job | Pause:
        while self.jobs:
            if self.jobs[0] is None:
                if self.out:
                    return Pause.WAIT
                self.jobs.pop(0)
                continue
            job = self.jobs.pop(0)
            assert job is not None
            self.out[job.id] = self.stop_at.get(job.id, job.rungs[-1])
            return job
        return Pause.WAIT if self.out else Pause.OVER

    def report(self, job_id: str, report: Report) -> bool:
        if report.epoch not in [r.epoch for r in self.reports[job_id]]:
            self.reports[job_id].append(report)
        if report.epoch >= self.out[job_id]:
            del self.out[job_id]
            return False
        return True

    def progress(self, job_id: str, epoch: float) -> None:
        self.progressed[job_id].append(epoch)

    def failed(self, job_id: str, failure: Failure) -> None:
        assert job_id not in self.failures
        self.failures[job_id] = failure
        del self.out[job_id]

    def lost(self, job_id: str, reason: str) -> bool:
        self.losses[job_id].append(reason)
        if len(self.losses[job_id]) >= self.lives:
            self.failed(job_id, Failure("killed", reason))
            return False
        return True


class Full(defaultdict[str, list[Report]]):
    """Where nothing more can be written."""

    def __missing__(self, key: str) -> list[Report]:
        raise OSError("no space left")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home and a working folder of the test's own, which show what Ray leaves."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    yield folder
    until(lambda: at(folder) <= {os.getpid()})


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits for something to come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def at(folder: Path) -> set[int]:
    """Processes that work in a folder: all that Ray starts stay where their driver is."""
    found = set()
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if cwd.readlink() == folder:
                found.add(int(cwd.parent.name))
        except OSError:
            continue
    return found


def untimed(reports: list[Report]) -> list[Report]:
    return [Report(r.epoch, r.values, r.seeds, r.curve) for r in reports]


def direct(job: Job, folder: Path) -> list[Report]:
    return untimed(list(Evaluation(replace(job, folder=str(folder / job.id))).reports()))


@pytest.mark.slow
def test_a_search_with_every_kind_of_failure(tmp_path: Path, home: Path) -> None:
    study = tmp_path / "runs" / "small"
    mark = tmp_path / "mark"
    well = [
        job(
            study, f"trial-{n}", f"slow(seconds = 0, epochs = 3, lr = 0.{n + 1})", measures=(("latency", 64),)
        )
        for n in range(3)
    ]
    bad = {
        "nan": job(study, "trial-3", "faulty(mode = nan, at = 2)"),
        "exception": job(study, "trial-4", "faulty(mode = exception)"),
        "memory": job(study, "trial-5", "faulty(mode = memory)", memory=1_200_000_000),
        "time": job(study, "trial-6", "faulty(mode = crawl)", seconds=1.0),
        "killed": job(study, "trial-7", "faulty(mode = kill, at = 3)", seeds=(0,)),
    }
    once = job(study, "trial-8", f'faulty(mode = once, at = 3, log = "{mark}")')
    stopped = job(study, "trial-9", "slow(seconds = 0, epochs = 3, lr = 0.9)")
    late = job(study, "trial-10", "slow(seconds = 0.5, epochs = 3)", seeds=(0,))
    winner = job(study, "winner", well[0].task, rungs=(3,), split="test", folder=well[0].folder)
    board = Board([*well, *bad.values(), once, stopped, None, late, None, winner], 2, {stopped.id: 1})
    RayExecutor().run(board, Resources(2), study)

    assert {i: f.kind for i, f in board.failures.items()} == {j.id: kind for kind, j in bad.items()}
    assert "ZeroDivisionError" in board.failures["trial-4"].message
    assert "ZeroDivisionError" in board.failures["trial-4"].detail
    assert {i: len(found) for i, found in board.losses.items()} == {"trial-7": 2, "trial-8": 1}
    assert "actor" in board.losses["trial-8"][0]
    assert board.progressed["trial-10"]
    assert {i: [r.epoch for r in found] for i, found in board.reports.items()} == {
        **{j.id: [1, 3] for j in (*well, once, late)},
        "trial-3": [1],
        "trial-7": [1],
        "trial-9": [1],
        "winner": [3],
    }
    for each in (*well, once, winner):
        assert untimed(board.reports[each.id]) == direct(each, tmp_path / "direct")
    assert (Path(winner.folder) / WEIGHTS).is_file()
    assert {f.name for f in Path(once.folder).iterdir()} >= {"report-1.json", "report-3.json", "seed-1.ckpt"}

    assert not (home / ".ray").exists()
    results = home / "ray_results" / "small"
    assert {f.name for f in results.iterdir() if f.is_dir()} == {f"trial-{n}" for n in range(11)} | {"winner"}
    trial = results / "trial-8"
    assert {"params.json", "progress.csv", "result.json"} <= {f.name for f in trial.iterdir()}
    assert len(list(trial.glob("checkpoint_*"))) == 1
    rows = list(csv.DictReader((trial / "progress.csv").open(encoding="utf-8")))
    assert float(rows[-1]["accuracy"]) == board.reports["trial-8"][-1].values["accuracy"]
    assert rows[-1]["epoch"] == "3"

    from ray.tune import ExperimentAnalysis

    analysis = ExperimentAnalysis(str(results))
    best = analysis.get_best_trial("accuracy", "max", "last")
    values = {i: found[-1].values["accuracy"] for i, found in board.reports.items()}
    assert values[str(best)] == max(values.values())
    assert (Path(best.checkpoint.path) / "seed-0.ckpt").is_file()


def test_time_before_a_loss_counts_once(tmp_path: Path) -> None:
    from ray.tune.experiment import Trial

    from archdsl.nas.executors.ray.steering import Steering

    class Silent(Trial):  # type: ignore[misc]
        error_file = None  # where nothing was written of its end

    limited = job(tmp_path / "study", "trial-0", "instant", seconds=60.0)
    steering = Steering(Board([limited]), Resources(1), tmp_path / "results")
    steering.begun = True
    assert steering.next("a")
    steering.seats["a"].used = 50.0
    steering.lost(Silent("none", trial_id="a", stub=True))
    assert steering.seats["a"].used == 0  # the next actor sends the same reports again


@pytest.mark.parametrize("name", ["../secret", "..", "/etc/hostname", "a/b", "link"])
def test_a_checkpoint_gives_files_of_its_own_alone(name: str, tmp_path: Path) -> None:
    from archdsl.nas.executors.ray import checkpoints

    mine = job(tmp_path / "study", "trial-0", "instant")
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    work, checkpoint, target = tmp_path / "work", tmp_path / "checkpoint", tmp_path / "target" / "inner"
    for folder in (work, checkpoint, target):
        folder.mkdir(parents=True)
    (work / "seed-0.ckpt").write_text("whole", encoding="utf-8")
    checkpoints.collect(mine, work, checkpoint)
    (checkpoint / "link").symlink_to(tmp_path / "secret")
    contents = json.loads((checkpoint / checkpoints.CONTENTS).read_text(encoding="utf-8"))
    contents["sizes"][name] = len("secret")
    (checkpoint / checkpoints.CONTENTS).write_text(json.dumps(contents), encoding="utf-8")
    checkpoints.unpack(mine, checkpoint, target)
    assert list(target.iterdir()) == []
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.slow
def test_a_cluster_that_was_not_asked_for_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself would join the one that the environment, or a file in /tmp, names."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    board = Board([job(tmp_path / "small", "trial-0", "slow(seconds = 0)")])
    RayExecutor().run(board, Resources(1, results=tmp_path / "results"), tmp_path / "small")
    assert [r.epoch for r in board.reports["trial-0"]] == [1, 3]


@pytest.mark.slow
def test_ray_that_runs_already_is_used_and_left(tmp_path: Path) -> None:
    """By two studies of one name, which don't get in each other's way."""
    ray = pytest.importorskip("ray")
    ray.init(
        "local", num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False, log_to_driver=False
    )
    try:
        broken = Board([job(tmp_path, "trial-0", "slow(seconds = 1)")], reports=Full())
        with pytest.raises(OSError, match="no space left"):
            RayExecutor().run(broken, Resources(1, results=tmp_path / "results"), tmp_path / "broken")
        found = []
        for folder in (tmp_path / "a" / "small", tmp_path / "b" / "small"):
            board = Board([job(folder, "trial-0", "slow(seconds = 0)")])
            RayExecutor().run(board, Resources(1, results=tmp_path / "results"), folder)
            found.append(untimed(board.reports["trial-0"]))
        assert found[0] == found[1]
        assert ray.is_initialized()
        assert sorted(f.name for f in (tmp_path / "results").iterdir()) == ["broken", "small", "small-2"]
    finally:
        ray.shutdown()


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at `127.0.0.1:1`"),
        ("auto", "no Ray cluster answers at `auto`"),
        ("ray://somewhere:10001", "outside of its cluster"),
    ],
)
def test_a_cluster_that_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, text: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # or `auto` finds the cluster of another test
    with pytest.raises(DiagnosticError) as caught:
        RayExecutor().run(Board([]), Resources(1, address=address, results=tmp_path), tmp_path / "small")
    [diagnostic] = caught.value.diagnostics
    assert diagnostic.code == "E414"
    assert text in diagnostic.message
    assert diagnostic.help
