"""The local executor: real processes, every way to fail, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError, Source
from archdsl.nas import executors
from archdsl.nas.board import Pause, Resources
from archdsl.nas.evaluation import Evaluation
from archdsl.nas.executors.local import LocalExecutor
from archdsl.nas.jobs import Failure, Job, Report

pytestmark = pytest.mark.usefixtures("faulty_tasks")

TINY = """
arch tiny(dim = 8) {
  image = 16;  channels = 1;  classes = 10
  stem = patch_embed(4, dim)
  stage s1 { blocks = 2 x attn(heads = 2) }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""


def job(folder: Path, number: int, task: str, **changes: object) -> Job:
    given = {"seeds": (0,), "rungs": (1, 3), "measures": (), **changes}
    arch = archdsl.load(Source("tiny", TINY)).to_source()
    name = f"trial-{number}"
    return Job(id=name, arch=arch, task=task, folder=str(folder / name), **given)  # type: ignore[arg-type]


@dataclass
class Board:
    """Hands out a list of jobs and keeps what comes back."""

    jobs: list[Job]
    lives: int = 3
    stop_at: dict[str, int] = field(default_factory=dict)
    reports: dict[str, list[Report]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, Failure] = field(default_factory=dict)
    losses: list[tuple[str, str]] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=dict)
    progressed: list[tuple[str, float]] = field(default_factory=list)

    def next(self) -> Job | Pause:
        if not self.jobs:
            return Pause.OVER
        job = self.jobs.pop(0)
        self.last[job.id] = self.stop_at.get(job.id, job.rungs[-1])
        return job

    def report(self, job_id: str, report: Report) -> bool:
        if report.epoch not in [r.epoch for r in self.reports[job_id]]:
            self.reports[job_id].append(report)
        return report.epoch < self.last[job_id]

    def progress(self, job_id: str, epoch: float) -> None:
        self.progressed.append((job_id, epoch))

    def failed(self, job_id: str, failure: Failure) -> None:
        assert job_id not in self.failures
        self.failures[job_id] = failure

    def lost(self, job_id: str, reason: str) -> bool:
        self.losses.append((job_id, reason))
        self.lives -= 1
        if self.lives <= 0:
            self.failed(job_id, Failure("killed", reason))
        return self.lives > 0


def children() -> set[int]:
    """Processes of this one that are still there, zombies included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


def run(board: Board, folder: Path, workers: int = 1) -> Board:
    LocalExecutor().run(board, Resources(workers), folder)
    return board


def test_jobs_are_carried_out_side_by_side(tmp_path: Path) -> None:
    board = run(
        Board([job(tmp_path, n, f"slow(seconds = 0, epochs = 3, lr = 0.{n + 1})") for n in range(6)]),
        tmp_path,
        2,
    )
    assert board.failures == {}
    assert {j: [r.epoch for r in found] for j, found in board.reports.items()} == {
        f"trial-{n}": [1, 3] for n in range(6)
    }
    direct = list(
        Evaluation(job(tmp_path / "direct", 0, "slow(seconds = 0, epochs = 3, lr = 0.1)")).reports()
    )
    assert [r.values for r in board.reports["trial-0"]] == [r.values for r in direct]


def test_stopped_and_failed_jobs_make_room_for_others(tmp_path: Path) -> None:
    tasks = [
        "slow(seconds = 0)",
        "faulty(mode = nan, at = 2)",
        "faulty(mode = exception)",
        "slow(seconds = 0)",
    ]
    board = Board([job(tmp_path, n, task) for n, task in enumerate(tasks)], stop_at={"trial-0": 1})
    run(board, tmp_path)
    assert {j: len(found) for j, found in board.reports.items()} == {"trial-0": 1, "trial-1": 1, "trial-3": 2}
    assert {j: f.kind for j, f in board.failures.items()} == {"trial-1": "nan", "trial-2": "exception"}
    assert sorted(p.name for p in (tmp_path / "trial-0").iterdir()) == ["log.txt", "report-1.json"]
    assert "a fault on purpose" in (tmp_path / "trial-2" / "log.txt").read_text()


@pytest.mark.slow
def test_every_failure_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    faults = ["nan", "loss", "exception", "memory", "sleep", "crawl", "well"]
    jobs = [
        job(
            tmp_path,
            n,
            f"faulty(mode = {mode}, at = 2)",
            seconds=0.5 if mode in {"sleep", "crawl"} else 60.0,
            memory=1_000_000_000,
        )
        for n, mode in enumerate(faults)
    ]
    board = run(Board(jobs), tmp_path, 2)
    assert {faults[int(j[6:])]: f.kind for j, f in board.failures.items()} == {
        "nan": "nan", "loss": "nan", "exception": "exception", "memory": "memory", "sleep": "time",
        "crawl": "time",
    }  # fmt: skip
    assert board.losses == []
    assert board.failures["trial-3"].message == "needs more memory than its limit of 1000 MB"
    assert board.failures["trial-4"].message == "took longer than 0.5 s"
    assert all(board.reports[f"trial-{n}"][0].epoch == 1 for n in range(7)), (
        "what came before the fault counts"
    )
    assert [r.epoch for r in board.reports["trial-6"]] == [1, 3]
    assert "a fault on purpose" in (tmp_path / "trial-2" / "log.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "word"), [("exit", "status 3"), ("kill", "SIGKILL")])
def test_a_job_that_ends_its_process_is_given_up_in_the_end(mode: str, word: str, tmp_path: Path) -> None:
    jobs = [
        job(tmp_path, 0, f"faulty(mode = {mode}, at = 2)"),
        job(tmp_path, 1, "slow(seconds = 0, epochs = 3)"),
    ]
    board = run(Board(jobs, lives=2), tmp_path)
    assert [j for j, _ in board.losses] == ["trial-0"] * 2
    assert word in board.failures["trial-0"].message
    assert len(board.reports["trial-1"]) == 2


def test_a_killed_job_is_run_again_from_its_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / "mark"
    jobs = [job(tmp_path, 0, f'faulty(mode = once, at = 2, log = "{log}")')]
    board = run(Board(jobs), tmp_path)
    assert len(board.losses) == 1
    assert board.failures == {}
    assert [r.epoch for r in board.reports["trial-0"]] == [1, 3]


class Killing(Board):
    """Kills whoever reports a certain progress, once for each; what a killed process said before its end
    kills nobody."""

    def __init__(self, jobs: list[Job], points: list[float]) -> None:
        super().__init__(jobs, lives=100)
        self.points = points
        self.killed: set[int] = set()

    def progress(self, job_id: str, epoch: float) -> None:
        alive = set(children()) - self.killed
        if alive and self.points and epoch >= self.points[0]:
            self.points.pop(0)
            self.killed |= alive
            for pid in alive:
                os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_kills_change_no_value(tmp_path: Path) -> None:
    task = "digits(epochs = 2, batch = 16)"
    changes = {"seeds": (0, 1), "rungs": (1, 2)}
    straight = list(Evaluation(job(tmp_path / "straight", 0, task, **changes)).reports())
    board = run(Killing([job(tmp_path, 0, task, **changes)], [0.3, 0.7, 1.2, 1.7]), tmp_path)
    assert len(board.losses) == 4
    assert board.failures == {}
    found = board.reports["trial-0"]
    assert [(r.values, r.seeds, r.curve) for r in found] == [(r.values, r.seeds, r.curve) for r in straight]


def test_workers_that_can_not_start_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no such luck')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DiagnosticError) as caught:
        run(Board([job(tmp_path, 0, "instant")]), tmp_path)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E414"
    assert "status 1" in diagnostic.notes[0]
    assert "no such luck" in diagnostic.notes[-1]


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DiagnosticError) as caught:
        LocalExecutor().run(Board([job(tmp_path, 0, "slow")]), Resources(1, gpus=1.0), tmp_path)
    assert "finds no GPU" in caught.value.diagnostics[0].notes[-1]


def test_executors_have_names() -> None:
    assert isinstance(executors.find("local"), LocalExecutor)
    with pytest.raises(DiagnosticError) as caught:
        executors.find("locl")
    assert caught.value.diagnostics[0].code == "E414"
    assert "local" in caught.value.diagnostics[0].help


def test_prepared_workers_end_where_nothing_is_run(tmp_path: Path) -> None:
    executor = LocalExecutor()
    executor.prepare(Resources(1), tmp_path)
    executor.close()


def environment_of(process: int) -> list[str]:
    """What a child was started with; until it runs its own program it shows what its parent has, or none."""
    ours = Path("/proc/self/cmdline").read_bytes()
    for _ in range(500):
        folder = Path(f"/proc/{process}")
        if (folder / "cmdline").read_bytes() not in (ours, b"") and (
            found := (folder / "environ").read_text()
        ):
            return found.split("\0")
        time.sleep(0.02)
    raise TimeoutError(f"{process} does not start")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    ("more", "own", "policy"),
    [(0, None, None), (1, None, "PASSIVE"), (1, "ACTIVE", "ACTIVE")],
    ids=["a core for each", "too few cores", "asked for"],
)
def test_threads_spin_only_where_each_has_a_core(
    more: int, own: str | None, policy: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if own is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    before, executor = children(), LocalExecutor()
    executor.prepare(Resources(1, threads=len(os.sched_getaffinity(0)) + more), tmp_path)
    try:
        (worker,) = children() - before
        given = environment_of(worker)
    finally:
        executor.close()
    assert [v for v in given if v.startswith("OMP_WAIT_POLICY=")] == (
        [] if policy is None else [f"OMP_WAIT_POLICY={policy}"]
    )


class Interrupting(Board):
    """Raises what the driver's terminal would."""

    def progress(self, job_id: str, epoch: float) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_ends_the_workers_and_is_raised_again(tmp_path: Path) -> None:
    board = Interrupting([job(tmp_path, 0, "slow(epochs = 3, seconds = 10)")])
    with pytest.raises(KeyboardInterrupt):
        run(board, tmp_path)


DRIVER = """
import sys
from pathlib import Path
from archdsl.nas.board import Pause, Resources
from archdsl.nas.executors.local import LocalExecutor
from archdsl.nas.jobs import Job

class Board:
    def __init__(self, jobs):
        self.jobs = jobs
    def next(self):
        return self.jobs.pop() if self.jobs else Pause.WAIT
    def failed(self, job_id, failure):
        sys.exit(failure.detail)
    def progress(self, job_id, epoch):
        print(epoch, flush=True)

folder = Path(sys.argv[1])
LocalExecutor().run(Board([Job.from_json(line) for line in sys.stdin]), Resources(2), folder)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    jobs = [
        job(tmp_path, n, f'faulty(mode = family, seconds = 60, log = "{tmp_path / str(n)}")') for n in (0, 1)
    ]
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        driver.stdin.write("".join(j.to_json() + "\n" for j in jobs))
        driver.stdin.close()
        while not all((tmp_path / name).exists() for name in "01"):
            assert driver.stdout.readline(), "the driver has ended"
        pids = [int(p) for n in "01" for p in (tmp_path / n).read_text().split()]
        assert len(pids) == 4
        assert all(alive(p) for p in pids)
        driver.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(alive(p) for p in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [p for p in pids if alive(p)]
