"""Boards driven in one process: jobs take turns at random, and their values follow from the architecture.

As a program it drives a study, alone or again and again with a kill at every commit.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from archdsl.nas.board import Board, Pause
from archdsl.nas.jobs import Job, Report
from archdsl.nas.plan import SearchPlan
from archdsl.nas.read import read_search
from archdsl.nas.study import Study

Value = Callable[[Job, int], float]


def search(
    sampler: str = "tpe(seed = 0)",
    budget: str = "trials(12)",
    stop: str = "halving(rungs = [1, 3, 9])",
    objectives: str = "maximize = accuracy\n  minimize = macs",
    more: str = "",
    vary: str = "s3.blocks in 2 x each one_of(mamba, self_attn, metaformer(gated_cnn))\n"
    "    s4.blocks in one_of(mamba, self_attn + one_of(mamba, self_attn))",
) -> str:
    """The text of a search over a small space."""
    return f"""search small {{
  arch = tiny_stages(dim = 8)
  vary {{
    {vary}
  }}
  task = instant(epochs = 9)
  {objectives}
  sampler = {sampler}
  stop = {stop}
  budget = {budget}
  {more}
}}
"""


def planned(folder: Path, text: str) -> SearchPlan:
    """A search, read from a file in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.search"
    path.write_text(text, encoding="utf-8")
    return read_search(path)


def accuracy(job: Job, epoch: int, seed: int = 0) -> float:
    """Rises with the epochs, and differs between architectures and seeds."""
    digest = hashlib.sha256(f"{job.arch}{job.task}".encode()).digest()
    best = 0.5 + int.from_bytes(digest[:4], "big") / 2**33
    return best * epoch / (epoch + 1) + seed / 1000 * (1 + digest[4] / 256)


def report(job: Job, epoch: int) -> Report:
    """What a job reports at a rung."""
    seeds = [{"accuracy": accuracy(job, epoch, seed)} for seed in job.seeds]
    mean = sum(s["accuracy"] for s in seeds) / len(seeds)
    measured = {f"{metric}(batch = {batch})": mean / 7 for metric, batch in job.measures}
    return Report(epoch, {"accuracy": mean, **measured}, seeds, [{"epoch": float(epoch)}], 0.01)


class Loop:
    """Works on a board with so many jobs at a time.

    Args:
        order: which job reports next.
        turns: new reports after which it walks away, None for never.
        made: jobs with their rungs, reported by those who worked on the study before.
    """

    def __init__(
        self,
        board: Board,
        workers: int = 1,
        order: int = 0,
        turns: int | None = None,
        made: set[tuple[str, int]] | None = None,
    ) -> None:
        self.board = board
        self.workers = workers
        self.random = Random(order)
        self.turns = turns
        self.jobs: list[Job] = []
        self.handed: list[str] = []
        self.made = set() if made is None else made

    def run(self) -> bool:
        """Until the board is over (True) or the turns are used up (False)."""
        at: dict[str, int] = {}
        open_jobs: dict[str, Job] = {}
        while True:
            over = False
            while len(open_jobs) < self.workers:
                job = self.board.next()
                if isinstance(job, Pause):
                    over = job is Pause.OVER
                    break
                assert job.id not in open_jobs
                open_jobs[job.id] = job
                at[job.id] = 0
                self.jobs.append(job)
                self.handed.append(job.id)
            if not open_jobs:
                assert over
                return True
            if self.turns == 0:
                return False
            job = self.random.choice(list(open_jobs.values()))
            epoch = job.rungs[at[job.id]]
            at[job.id] += 1
            if self.turns is not None and (job.id, epoch) not in self.made:
                self.turns -= 1
            self.made.add((job.id, epoch))
            if not self.board.report(job.id, report(job, epoch)):
                del open_jobs[job.id]


def kill_at_commit(number: int, after: bool) -> None:
    """This process is killed when it is about to make its commit of that number, or has just made it."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    seen = 0

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == number and not after:
            die()

    def again(*_: object) -> None:
        if seen >= number and after:
            die()

    event.listen(Engine, "commit", count)
    event.listen(Engine, "begin", again)


def drive(text: str, folder: Path, workers: int) -> None:
    """Drives a study to its end."""
    with Study.open(planned(folder / "text", text), folder / "study", resume=True, workers=workers) as study:
        print("open", flush=True)
        assert Loop(study, workers, order=os.getpid()).run()


def drill(text: str, folder: Path, workers: int, every: int) -> int:
    """Kills a driver at each of its commits in turn, each time a new one goes on; returns the kills."""
    kills = 0
    number = 1
    while True:
        child = os.fork()
        if child == 0:
            kill_at_commit(number, after=kills % 2 == 1)
            drive(text, folder, workers)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return kills
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        kills += 1
        number = 1 + kills * every


if __name__ == "__main__":
    what, file, target, jobs, step = sys.argv[1:]
    source = Path(file).read_text(encoding="utf-8")
    if what == "drive":
        drive(source, Path(target), int(jobs))
    else:
        read_search("tiny_cpu")
        print("kills", drill(source, Path(target), int(jobs), int(step)))
