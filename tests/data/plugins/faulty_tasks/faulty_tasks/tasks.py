"""The tasks by name: `slow` and `faulty`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar, Literal

from archdsl.graph.architecture import Architecture
from archdsl.tasks import Progress, Run, RunError, Task
from faulty_tasks.runs import ArithmeticRun

Mode = Literal[
    "well", "nan", "loss", "exception", "memory", "sleep", "crawl", "exit", "kill", "once", "family"
]
HOG = 64 * 1024 * 1024


class _Arithmetic(Task):
    """What both have in common: two scores, no data."""

    name: ClassVar[str]
    lr: float = 0.001

    @property
    def classes(self) -> int:
        return 10

    @property
    def channels(self) -> int:
        return 1

    @property
    def images(self) -> tuple[int, int, int] | None:
        return (0, 0, 0)


class Slow(_Arithmetic):
    """Sleeps through its epochs and writes each into `log`, a file, where that is given."""

    name: ClassVar[str] = "slow"
    epochs: int = 4
    seconds: float = 0.1
    log: str = ""

    def start(self, architecture: Architecture, seed: int) -> Run:
        name = f"{architecture.digest()[:16]} {self.lr!r} {seed}"

        def each(epoch: int, progress: Progress | None) -> None:
            if self.log:
                with Path(self.log).open("a", encoding="utf-8") as file:
                    file.write(f"{name} {epoch}\n")
            for part in range(4):
                time.sleep(self.seconds / 4)
                if progress is not None:
                    progress(epoch - 1 + (part + 1) / 4)

        return ArithmeticRun(architecture, seed, self.lr, each)


class Faulty(_Arithmetic):
    """Fails in the epoch `at`, in the way of `mode`; `well` for not at all.

    `nan` gives scores that are no numbers, `loss` finds its loss infinite, `exception` raises, `memory` takes
    more and more of it, `sleep` sleeps for `seconds` without a word, `crawl` does so with reports of
    progress, `exit` ends its process, `kill` kills it, `once` kills it only the first time (marked by the
    file `log`), `family` starts a process of its own, writes both numbers into `log` and crawls.
    """

    name: ClassVar[str] = "faulty"
    epochs: int = 3
    mode: Mode = "nan"
    at: int = 1
    seconds: float = 60.0
    log: str = ""

    def start(self, architecture: Architecture, seed: int) -> Run:
        return _FaultyRun(self, architecture, seed)


class _FaultyRun(ArithmeticRun):
    def __init__(self, task: Faulty, architecture: Architecture, seed: int) -> None:
        super().__init__(architecture, seed, task.lr, self._each)
        self.task = task

    def _each(self, epoch: int, progress: Progress | None) -> None:
        task = self.task
        if epoch != task.at:
            return
        match task.mode:
            case "loss":
                raise RunError("nan", f"the loss became infinite in epoch {epoch}")
            case "exception":
                raise ZeroDivisionError("a fault on purpose")
            case "memory":
                hoard = []
                while True:
                    hoard.append(bytearray(HOG))
            case "sleep":
                time.sleep(task.seconds)
            case "family":
                child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({task.seconds})"])
                part = Path(task.log).with_suffix(".part")
                part.write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
                part.replace(task.log)
                self._crawl(epoch, progress)
            case "crawl":
                self._crawl(epoch, progress)
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "once":
                mark = Path(task.log)
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            case _:
                pass

    def _crawl(self, epoch: int, progress: Progress | None) -> None:
        for _ in range(int(self.task.seconds * 20)):
            time.sleep(0.05)
            if progress is not None:
                progress(epoch - 0.5)

    def scores(self, split: str = "validation") -> dict[str, float]:
        if self.task.mode == "nan" and self.epoch >= self.task.at:
            return {"accuracy": float("nan")}
        return super().scores(split)
