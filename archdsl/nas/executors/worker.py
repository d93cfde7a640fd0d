"""A process that carries out jobs for a driver: `python -m archdsl.nas.executors.worker`.

Jobs and answers come through its stdin, messages leave through what was its stdout; what tasks print goes to
the job's `log.txt`. It lives no longer than its driver.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import sys
import threading
import time
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path

from archdsl.graph.elaboration.files import prelude
from archdsl.nas.evaluation import Evaluation, EvaluationError
from archdsl.nas.executors import messages as m
from archdsl.nas.jobs import Job

LOG = "log.txt"
TELL_EVERY = 0.1
"""Seconds between two messages about progress."""
_WARM = ("torch", "archdsl.compiler", "archdsl.weights")
_SET_SIGNAL = 10  # F_SETSIG of <linux/fcntl.h>


class Worker:
    """One worker: its two pipes, and the job it is at.

    Args:
        inbox: file descriptor that jobs and answers come from.
        outbox: file descriptor that messages go to.
    """

    def __init__(self, inbox: int, outbox: int) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._messages: queue.SimpleQueue[m.Message] = queue.SimpleQueue()
        self._told = 0.0

    def work(self) -> None:
        """Job after job, until the driver is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        idle = os.dup(1)
        while True:
            self._say(m.Ready())
            job = self._messages.get()
            if isinstance(job, Job):
                self._do(job)
                _print_to(idle)

    def _do(self, job: Job) -> None:
        with suppress(OSError):  # the evaluation will say what is wrong with the folder
            Path(job.folder).mkdir(parents=True, exist_ok=True)
            log = os.open(Path(job.folder) / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            _print_to(log)
            os.close(log)
        evaluation = Evaluation(job, self._progress)
        try:
            with closing(evaluation.reports()) as reports:
                for report in reports:
                    self._say(report)
                    if self._messages.get() != m.Answer(True):
                        if report.epoch < job.rungs[-1]:
                            evaluation.discard()
                        break
        except EvaluationError as error:
            print(error.failure.detail or error.failure.message, file=sys.stderr)
            self._say(error.failure)

    def _progress(self, epoch: float) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_EVERY:
            self._told = now
            self._say(m.Progress(epoch))

    def _say(self, message: m.Message) -> None:
        line = m.to_line(message)
        try:
            while line:
                line = line[os.write(self._outbox, line) :]
        except BrokenPipeError:
            _end()

    def _listen(self) -> None:
        """Takes what the driver sends; when nothing more can come, the driver is gone, and so is this."""
        with open(self._inbox, "rb", closefd=False) as lines:
            for line in lines:
                self._messages.put(m.from_line(line))
        _end()


def _end() -> None:
    """Ends this process and all it has started, whatever they do just now."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _print_to(target: int) -> None:
    """Sends what this process prints, and what libraries print past Python, to a file descriptor."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(target, 1)
    os.dup2(target, 2)


def _die_with_driver(life: int) -> None:
    """Lets the kernel end this process and all it has started, also where Python never comes to its turn.

    Args:
        life: a pipe that nobody writes to; its other end is the driver's, and closes with it.
    """
    if sys.platform.startswith("linux"):
        import fcntl

        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, _SET_SIGNAL, int(signal.SIGKILL))
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def main() -> None:
    """Reads its options, imports what jobs need and begins."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0.0)
    parser.add_argument("--seat", type=int, default=0)
    parser.add_argument("--life", type=int, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_driver(options.life)
    inbox, outbox = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _print_to(2)
    for module in _WARM:
        import_module(module)
    import torch

    torch.set_num_threads(options.threads)
    if options.gpus:
        if not torch.cuda.is_available():
            sys.exit(f"PyTorch finds no GPU, and a job is to have {options.gpus:g}")
        torch.cuda.set_device(int(options.seat * options.gpus) % torch.cuda.device_count())
    prelude()
    Worker(inbox, outbox).work()


if __name__ == "__main__":
    main()
