"""Kill drills: workers and drivers of a search are killed at random, and nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

import archdsl
from archdsl.nas.results import State

pytestmark = [
    pytest.mark.usefixtures("faulty_tasks"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

SPEC = """\
arch tiny(dim = 8) {
  image = 16
  stem = patch_embed(4, dim)
  stage s1 { blocks = 2 x attn(heads = 2) }
  head = layer_norm -> pool(mean) -> linear(classes)
}
"""

SEARCH = """\
use "tiny.arch"

search drill {{
  arch = tiny()
  vary {{
    s1.blocks in 2 x each one_of(attn(heads = 1), attn(heads = 2), attn(heads = 4), gated_conv)
    train.lr  in 1e-4 .. 1e-2 log
  }}
  task = slow(epochs = 5, seconds = {seconds}, log = "epochs.log")
  maximize = accuracy
  minimize = params
  sampler = {sampler}(seed = {seed})
  stop = halving(rungs = [1, 2, 5], eta = 2)
  repeat = seeds(2)
  budget = trials({trials})
  synchronous = on
}}
"""
RUNGS = (1, 2, 5)

DRIVER = """
import json
import archdsl

found = archdsl.search("drill.search", out="run", workers=2, resume=True).results()
print(json.dumps({
    "finished": found.finished,
    "winner": found.winner.trial.number,
    "test": dict(found.winner.test),
    "trials": [
        [t.number, t.state.value, dict(t.point), dict(t.values), [[r.epoch, r.values] for r in t.reports]]
        for t in found.trials
    ],
}))
"""


class Drill:
    """A search in a folder of its own, and those who work on it."""

    def __init__(self, folder: Path, seed: int, trials: int, seconds: float, sampler: str = "random") -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "tiny.arch").write_text(SPEC)
        text = SEARCH.format(seed=seed, trials=trials, seconds=seconds, sampler=sampler)
        (folder / "drill.search").write_text(text)
        self.worker_kills = 0
        self.driver_kills = 0

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER], cwd=self.folder, stdout=subprocess.PIPE, text=True
        )

    def finish(self, timeout: float = 300) -> dict[str, object]:
        """Goes on to the end; what the driver found."""
        with self.start() as driver:
            out, _ = driver.communicate(timeout=timeout)
        assert driver.returncode == 0
        assert workers(self.folder) == []
        result: dict[str, object] = json.loads(out.splitlines()[-1])
        return result

    def disturb(self, chance: random.Random, kills: int, pause: tuple[float, float]) -> None:
        """Starts a driver, kills so many of its workers at random times, then the driver itself."""
        before = self.epochs()
        with self.start() as driver:
            while self.epochs() == before and driver.poll() is None:
                time.sleep(0.01)
            for _ in range(kills):
                time.sleep(chance.uniform(*pause))
                at_work = workers(self.folder)
                if driver.poll() is None and at_work:
                    os.kill(chance.choice(at_work), signal.SIGKILL)
                    self.worker_kills += 1
            time.sleep(chance.uniform(*pause))
            if driver.poll() is None:
                driver.kill()
                self.driver_kills += 1
        deadline = time.monotonic() + 30
        while workers(self.folder) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert workers(self.folder) == [], "workers that outlive their driver"

    def epochs(self) -> list[tuple[str, int]]:
        """Every epoch that was begun, in order: the run and the number."""
        log = self.folder / "epochs.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(run, int(epoch)) for run, _, epoch in (line.rpartition(" ") for line in lines)]

    def check(self, found: dict[str, object], trials: int) -> None:
        """Every trial ended exactly once, and no more was done again than the kills explain."""
        assert found["finished"]
        states = self._states()
        assert [n for n, _ in states] == list(range(len(states))), "each is there once"
        assert "RUNNING" not in {s for _, s in states}
        rows = found["trials"]
        assert isinstance(rows, list)
        trained = [r for r in rows if r[1] != "refused"]
        assert len(trained) == trials
        assert {r[1] for r in trained} <= {"complete", "stopped", "failed"}
        for row in trained:
            reached = [epoch for epoch, _ in row[4]]
            assert reached == list(RUNGS[: len(reached)]), "one report for each rung"
        again = self._redone()
        assert again <= self.worker_kills + 2 * self.driver_kills, "at most one rung for each kill"
        print(f"{self.worker_kills} workers and {self.driver_kills} drivers killed, {again} rungs done again")

    def _states(self) -> list[tuple[int, str]]:
        with sqlite3.connect(self.folder / "run" / "study.db") as database:
            return database.execute("SELECT number, state FROM trials ORDER BY number").fetchall()

    def _redone(self) -> int:
        """How many rungs were begun again; a run begins again where the rung it was in begins."""
        runs: dict[str, list[int]] = defaultdict(list)
        for run, epoch in self.epochs():
            runs[run].append(epoch)
        redone = 0
        for run, epochs in runs.items():
            assert epochs[0] == 1
            for last, epoch in pairwise(epochs):
                if epoch != last + 1:
                    start = max(r for r in (0, *RUNGS) if r < last) + 1
                    assert epoch == start, f"{run}: from epoch {last} back to {epoch}"
                    redone += 1
        return redone


def workers(folder: Path) -> list[int]:
    """Processes of workers whose working folder it is."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            command = (link.parent / "cmdline").read_bytes()
            if b"archdsl.nas.executors.worker" in command and link.readlink() == folder:
                found.append(int(link.parent.name))
        except OSError:
            continue
    return sorted(found)


def test_killed_workers_and_a_killed_driver(tmp_path: Path) -> None:
    drill = Drill(tmp_path / "drill", seed=1, trials=4, seconds=0.2)
    drill.disturb(random.Random(1), kills=1, pause=(0.1, 0.4))
    drill.check(drill.finish(), trials=4)
    assert drill.driver_kills == 1


FAULTS = """\
use "tiny.arch"

search faults {
  arch = tiny()
  vary { train.mode in one_of(well, nan, loss, exception, memory, sleep, exit, kill) }
  task = faulty(epochs = 2, at = 2)
  maximize = accuracy
  sampler = grid
  budget = trials(8)
  limit = [time(3s), memory(1G)]
}
"""


@pytest.mark.slow
def test_failures_are_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    (tmp_path / "tiny.arch").write_text(SPEC)
    (tmp_path / "faults.search").write_text(FAULTS)
    found = archdsl.search(tmp_path / "faults.search", out=tmp_path / "run", workers=2).results()
    reasons = {str(t.point["train.mode"]): t.reason for t in found.trials if t.state is State.FAILED}
    assert {mode: reason.partition(":")[0] for mode, reason in reasons.items()} == {
        "nan": "nan", "loss": "nan", "exception": "exception", "memory": "memory", "sleep": "time",
        "exit": "killed", "kill": "killed",
    }  # fmt: skip
    assert "a fault on purpose" in reasons["exception"]
    assert "more memory than its limit of 1000 MB" in reasons["memory"]
    assert "status 3" in reasons["exit"]
    assert "SIGKILL" in reasons["kill"]
    assert found.finished
    assert found.winner is not None
    assert found.winner.trial.point == {"train.mode": "well"}
    assert found.winner.test


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_many_kills_change_nothing(sampler: str, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    chance = random.Random(seed)
    straight = Drill(tmp_path / "straight", seed % 1000, trials=12, seconds=0.02, sampler=sampler).finish()
    drill = Drill(tmp_path / "killed", seed % 1000, trials=12, seconds=0.15, sampler=sampler)
    for _ in range(4):
        drill.disturb(chance, kills=chance.randrange(4), pause=(0.0, 1.5))
    found = drill.finish()
    drill.check(found, trials=12)
    if not any(row[1] == "failed" for row in found["trials"]):  # type: ignore[attr-defined]
        assert found == straight
