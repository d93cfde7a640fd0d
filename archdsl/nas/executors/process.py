"""A worker as its driver sees it: a process of its own session behind two pipes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile

from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.nas.board import Resources
from archdsl.nas.executors import messages as m

_MODULE = "archdsl.nas.executors.worker"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
LAST_LINES = 8
"""Of a worker's log, in messages."""
PATIENCE = 1.0
"""Seconds that a worker has to end after it has closed its pipe."""


class WorkerProcess:
    """Starts a worker and returns at once, while it imports what it needs.

    It ends with this process, however that ends.

    Args:
        resources: what a job may use. Without GPUs they are hidden from it.
        seat: which of the workers it is, from 0; decides on the GPU.

    Raises:
        DiagnosticError: E414 where the system starts no process.
    """

    def __init__(self, resources: Resources, seat: int) -> None:
        path = os.pathsep.join(dict.fromkeys(p or os.getcwd() for p in sys.path))
        threads, gpus = str(resources.threads), str(resources.gpus)
        environment = {**os.environ, "PYTHONPATH": path, **dict.fromkeys(_THREADS, threads)}
        if resources.crowded:
            environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if not resources.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        options = ["--threads", threads, "--gpus", gpus, "--seat", str(seat)]
        with contextlib.ExitStack() as opened:
            try:
                self._log = opened.enter_context(tempfile.TemporaryFile())
                life, self._life = os.pipe()
                opened.callback(os.close, self._life)
                try:
                    self._process = subprocess.Popen(
                        [sys.executable, "-P", "-m", _MODULE, *options, "--life", str(life)],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=self._log,
                        env=environment,
                        bufsize=0,
                        start_new_session=True,
                        pass_fds=(life,),
                    )
                finally:
                    os.close(life)
            except OSError as error:
                raise cannot_start(error.strerror or str(error), "") from None
            opened.pop_all()
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

    def cannot_start(self) -> DiagnosticError:
        """E414, with how it ended and what it printed outside of jobs."""
        self._log.seek(0)
        return cannot_start(self.end_text(), self._log.read().decode("utf-8", "replace"))

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
        self._ended = True
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()


def cannot_start(reason: str, log: str) -> DiagnosticError:
    """E414, with the last lines of a log."""
    lines = [line for line in log.splitlines() if line.strip()]
    return DiagnosticError(
        Diagnostic(
            "E414",
            "the local executor cannot start its workers",
            notes=(reason, *lines[-LAST_LINES:]),
            help="mend what its last lines tell; workers import what `archdsl build` imports",
        )
    )
