"""Drivers, actors and nodes that are killed under the executor `ray`: every trial ends, once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archdsl.nas.evaluation import WEIGHTS
from archdsl.nas.results import Results, State
from archdsl.nas.stored import read_results

pytest.importorskip("ray.tune", reason="needs the extra `ray`")
pytestmark = pytest.mark.usefixtures("faulty_tasks")

DRIVER = Path(__file__).with_name("drive_ray.py")
TEXT = """
search drill {{
  arch = tiny_stages(dim = 8)
  vary {{ train.lr in 0.1 .. 0.9 }}
  task = slow(epochs = {epochs}, seconds = {seconds}, log = "{log}")
  maximize = accuracy
  sampler = random(seed = 0)
  stop = halving(rungs = [{rungs}], eta = 2)
  budget = trials({trials})
}}
"""


def until(
    condition: Callable[[], Any], seconds: float = 120.0, told: Callable[[], object] = lambda: None
) -> None:
    """Waits for something to come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, told()
        time.sleep(0.05)


class Drill:
    """A study on Ray whose driver is a process of its own."""

    def __init__(
        self, folder: Path, trials: int, rungs: tuple[int, ...] = (1, 2, 4), seconds: float = 0.3
    ) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.log = folder / "log"
        self.log.touch()
        self.study = folder / "drill"
        self.results = folder / "results"
        self.search = folder / "drill.search"
        self.rungs = rungs
        text = TEXT.format(
            epochs=rungs[-1], seconds=seconds, log=self.log, trials=trials, rungs=", ".join(map(str, rungs))
        )
        self.search.write_text(text, encoding="utf-8")

    def start(self, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(DRIVER), str(self.search), str(self.study), str(self.results), *more]
        environment = {**os.environ, "HOME": str(self.home)}
        return subprocess.Popen(
            command,
            cwd=self.home,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def finish(self, driver: subprocess.Popen[str]) -> None:
        """Waits for a driver that should end well, without a word."""
        said, _ = driver.communicate(timeout=300)
        assert (driver.returncode, said) == (0, "")
        until(lambda: not self.processes())

    def kill(self, driver: subprocess.Popen[str]) -> None:
        """Kills a driver; all that it has started ends with it."""
        driver.kill()
        driver.communicate()
        until(lambda: not self.processes(), 20, self.processes)

    def processes(self) -> dict[int, str]:
        """What works in the driver's folder, with titles: all that Ray starts does."""
        found = {}
        for cwd in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if cwd.readlink() == self.home:
                    found[int(cwd.parent.name)] = (cwd.parent / "cmdline").read_bytes().decode()
            except OSError:
                continue
        return found

    def actors(self) -> list[int]:
        return [pid for pid, title in self.processes().items() if "Trainable" in title]

    def epochs(self) -> int:
        """Trained so far, those done again too."""
        return len(self.log.read_text(encoding="utf-8").splitlines())

    def check(self, kills: int, trials: int) -> Results:
        """Every trial ended once, and for each kill of two jobs at most a rung was done again."""
        results = read_results(self.study)
        assert results.finished
        ended = {t.state for t in results.trials if not t.reason.startswith("killed: its process was lost 3")}
        assert ended <= {State.COMPLETE, State.STOPPED}
        assert [t.number for t in results.trials] == list(range(trials))
        assert any(t.state is State.COMPLETE for t in results.trials)
        for trial in results.trials:
            epochs = [r.epoch for r in trial.reports]
            assert epochs == list(self.rungs[: len(epochs)])
            assert trial.executor == "ray"
        done = Counter(self.log.read_text(encoding="utf-8").splitlines())
        lengths = [b - a for a, b in zip((0, *self.rungs), self.rungs, strict=False)]
        assert sum(times - 1 for times in done.values()) <= kills * 2 * max(lengths)
        winner = results.winner
        assert winner is not None
        assert set(winner.test) == {"accuracy"}
        assert (self.study / "trials" / f"trial-{winner.trial.number}" / WEIGHTS).is_file()
        return results


def test_a_killed_driver_is_gone_on_after(tmp_path: Path) -> None:
    drill = Drill(tmp_path, 3)
    driver = drill.start()
    until(lambda: drill.epochs() >= 4)
    drill.kill(driver)
    drill.finish(drill.start())
    drill.check(1, 3)


@pytest.mark.slow
def test_ctrl_c_ends_all_at_once(tmp_path: Path) -> None:
    drill = Drill(tmp_path, 2, seconds=2.0)
    driver = drill.start()
    until(lambda: drill.epochs() >= 2)
    driver.send_signal(signal.SIGINT)
    said, _ = driver.communicate(timeout=60)
    assert said.rstrip().endswith("KeyboardInterrupt")
    until(lambda: not drill.processes(), 20, drill.processes)


@pytest.mark.slow
def test_drivers_and_actors_are_killed_at_random(tmp_path: Path) -> None:
    drill = Drill(tmp_path, 8)
    chance = random.Random(0)
    for _ in range(2):
        driver = drill.start()
        before = drill.epochs()
        until(lambda: drill.epochs() > before + 2)  # noqa: B023
        os.kill(chance.choice(drill.actors()), signal.SIGKILL)
        before = drill.epochs()
        until(lambda: drill.epochs() > before + chance.randrange(6))  # noqa: B023
        drill.kill(driver)
    drill.finish(drill.start())
    drill.check(4, 8)


def test_a_node_is_killed(tmp_path: Path) -> None:
    """Two nodes of one CPU; the driver is a third one without any, as a laptop may be."""
    from ray.cluster_utils import Cluster

    drill = Drill(tmp_path, 4, seconds=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(drill.home))
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.chdir(drill.home)
        small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **small})
        try:
            other = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
            driver = drill.start(cluster.address)
            until(lambda: drill.epochs() >= 3 and len(drill.actors()) == 2)
            cluster.remove_node(other, allow_graceful=False)
            said, _ = driver.communicate(timeout=300)
            assert driver.returncode == 0, said
        finally:
            cluster.shutdown()
    drill.check(1, 4)
