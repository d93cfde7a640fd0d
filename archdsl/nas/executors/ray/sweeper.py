"""Ends what a killed driver leaves of its Ray: two of its daemons, and actors that were about to start, would
wait a minute for the others.

The driver starts this file as a program of its own, with the folder of Ray's session and the processes that
run so far, and holds a pipe to it, which closes when the driver is gone, whatever has become of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")
ROUNDS = 4
PAUSE = 0.25
"""Seconds between looks for processes that were on their way."""


@contextmanager
def swept(session: Path) -> Iterator[None]:
    """Lets a session of Ray, given by its folder, end with this process if that is killed inside the block.
    Linux only."""
    if not _PROC.is_dir():
        yield
        return
    found = [f"{pid}:{began}" for pid, began in _below(os.getpid())]
    sweeper = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(session), *found],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    try:
        yield
    finally:
        sweeper.kill()
        sweeper.communicate()


def _below(root: int) -> list[tuple[int, str]]:
    """Processes that descend from one: their numbers and when they began."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parents[int(folder.name)] = _stat(int(folder.name))
    found = {root}
    while more := {pid for pid, (parent, _) in parents.items() if parent in found and pid not in found}:
        found |= more
    return [(pid, parents[pid][1]) for pid in found - {root} if pid in parents]


def _stat(pid: int) -> tuple[int, str]:
    """The parent of a process and when it began."""
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), fields[19]


def _sweep(session: Path, processes: list[str]) -> None:
    sys.stdin.read()
    for process in processes:
        number, _, began = process.partition(":")
        with suppress(OSError, IndexError):
            if _stat(int(number))[1] == began:
                os.kill(int(number), signal.SIGKILL)
    for _ in range(ROUNDS):
        time.sleep(PAUSE)
        for pid in _named(session.name):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    shutil.rmtree(session, ignore_errors=True)


def _named(session: str) -> list[int]:
    """Other processes whose command names a session: actors do until they have started."""
    found = []
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if session.encode() in (folder / "cmdline").read_bytes() and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


if __name__ == "__main__":
    _sweep(Path(sys.argv[1]), sys.argv[2:])
