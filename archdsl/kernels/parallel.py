"""Range kernels over torch's number of threads.

A range kernel does the tasks `first` to `last` of a call without the GIL. Its tasks write to places of their
own, so the result doesn't depend on the threads.

The threads are those of torch's operators (`archdsl.kernels.team`). They don't live on in a forked child,
where OpenMP would wait for them for ever: there, and where torch has none, Python threads do the work.

A child that imports this module only after its fork is left as torch leaves it: where torch had threads
before, its own operators wait for ever unless `torch.set_num_threads(1)` is called, and then none are needed
here either.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import torch

from archdsl.kernels.jit import Kernel

RANGES = 4
"""Ranges for each thread: one that comes late or loses its core leaves more to the others."""


def spread(kernel: Kernel[..., None], tasks: int, *args: Any) -> None:
    """Call `kernel(first, last, *args)` for ranges that make up [0, tasks), on torch's number of threads.

    One thread or one task is a direct call; no task is no call. An exception of a range is raised here, once
    all ranges have ended.
    """
    if tasks < 1:
        return
    threads = torch.get_num_threads() if tasks > 1 else 1
    if threads == 1:
        kernel(0, tasks, *args)
    elif _pool.forked or not team_library():
        _pool.spread(kernel, tasks, threads, args)
    else:
        _run()(team_library(), threads, kernel.address(0, tasks, *args), tasks, *args)


@functools.cache
def team_library() -> int:
    """Where `GOMP_parallel` is in this process, 0 where torch isn't linked with it.

    What the process has preloaded (another OpenMP) comes first, as it does for torch itself.
    """
    for library in (None, torch._C.__file__):
        with contextlib.suppress(OSError, AttributeError, TypeError):
            return ctypes.cast(ctypes.CDLL(library).GOMP_parallel, ctypes.c_void_p).value or 0
    return 0


@functools.cache
def _run() -> Kernel[..., None]:
    """What runs a kernel on a team; Numba is imported here."""
    from archdsl.kernels.team import run

    return run


class _Pool:
    """Threads of Python, started when they are first needed; a forked child starts its own.

    They and the caller take ranges one by one. Nobody waits for a thread that never began.
    """

    def __init__(self) -> None:
        self.forked = False
        self.forget()

    def after_fork(self) -> None:
        """In the child: threads of the process don't live on in it."""
        self.forked = True
        self.forget()

    def forget(self) -> None:
        """Start from nothing."""
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.size = 0

    def spread(self, run: Callable[..., None], tasks: int, threads: int, args: tuple[object, ...]) -> None:
        """Call `run(first, last, *args)` for each range."""
        ranges = min(RANGES * threads, tasks)
        numbers = iter(range(ranges))

        def work() -> None:
            for i in numbers:
                run(tasks * i // ranges, tasks * (i + 1) // ranges, *args)

        others: list[Future[None]] = []
        try:
            with contextlib.suppress(RuntimeError):  # no new threads while the interpreter ends
                executor = self._executor(threads - 1)
                for _ in range(min(threads, ranges) - 1):
                    others.append(executor.submit(work))
            work()
        finally:
            begun = [other for other in others if not other.cancel()]
            wait(begun)
        for other in begun:
            other.result()

    def _executor(self, size: int) -> ThreadPoolExecutor:
        with self.lock:
            if self.executor is None or self.size < size:
                if self.executor is not None:
                    self.executor.shutdown(wait=False)
                self.executor = ThreadPoolExecutor(size, thread_name_prefix="archdsl")
                self.size = size
            return self.executor


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.after_fork)
