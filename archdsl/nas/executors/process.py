"""A worker as its driver sees it: a process of its own session behind two pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile

from archdsl.nas.executors import messages as m

_MODULE = "archdsl.nas.executors.worker"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PATIENCE = 1.0
"""Seconds that a worker has to end after it has closed its pipe."""


class WorkerProcess:
    """Starts a worker and returns at once, while it imports what it needs.

    It ends with this process, however that ends.

    Args:
        threads: that a job may use.
    """

    def __init__(self, threads: int) -> None:
        path = os.pathsep.join(dict.fromkeys(p or os.getcwd() for p in sys.path))
        environment = {**os.environ, "PYTHONPATH": path, **dict.fromkeys(_THREADS, str(threads))}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        life, self._life = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, "--threads", str(threads), "--life", str(life)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            bufsize=0,
            start_new_session=True,
            pass_fds=(life,),
        )
        os.close(life)
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._pending = b""
        self._over = False
        self._ended = False

    @property
    def pid(self) -> int:
        """Of the process, and of its group."""
        return self._process.pid

    def fileno(self) -> int:
        """Of the pipe that its messages come through, for selectors."""
        return self._out

    def send(self, message: m.Message) -> None:
        """Sends a job or an answer. A worker that is gone takes nothing and is noticed by `gone`."""
        assert self._process.stdin is not None
        line = m.to_line(message)
        with contextlib.suppress(BrokenPipeError):
            while line:
                line = line[self._process.stdin.write(line) or 0 :]

    def receive(self) -> list[m.Message]:
        """The messages that have come since."""
        while True:
            try:
                part = os.read(self._out, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                self._over = True
                break
            self._pending += part
        *lines, self._pending = self._pending.split(b"\n")
        return [m.from_line(line) for line in lines]

    def gone(self) -> bool:
        """Whether the process has ended. One that has closed its pipe is of no use and ended."""
        if self._over and not self._ended:
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                self._process.wait()
        if self._process.poll() is None:
            return False
        self.kill()  # what it has started
        return True

    def killed(self) -> bool:
        """Whether it was ended by SIGKILL: by somebody, or by a system short of memory."""
        return self._process.returncode == -signal.SIGKILL

    def end_text(self) -> str:
        """How it ended, for users."""
        code = self._process.returncode
        if code is None:
            return "its process has not ended"
        if code >= 0:
            return f"its process ended with status {code}"
        more = "; the system does so when memory runs out" if self.killed() else ""
        return f"its process was ended by {signal.Signals(-code).name}{more}"

    def log(self) -> str:
        """What it printed outside of jobs."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def kill(self) -> None:
        """Ends it at once, with everything it has started; `close` waits for it."""
        if not self._ended:
            self._ended = self._process.returncode is not None
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ends it where it still runs, and frees what belongs to it."""
        self.kill()
        self._process.wait()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()
