"""Range kernels over torch's number of threads.

A range kernel does the tasks `first` to `last` of a call without the GIL. Its tasks write to places of their
own, so that the result doesn't depend on the threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TypeVarTuple

import torch

Args = TypeVarTuple("Args")


def spread(kernel: Callable[[int, int, *Args], object], tasks: int, *args: *Args) -> None:
    """Call `kernel(first, last, *args)` for ranges that make up [0, tasks), on torch's number of threads.

    One thread or one task is a direct call; no task is no call. An exception of a range is raised here, once
    all ranges have ended.
    """
    threads = min(torch.get_num_threads(), tasks)
    if threads > 1:
        _pool.spread(kernel, tasks, threads, args)
    elif tasks > 0:
        kernel(0, tasks, *args)


class _Pool:
    """Threads of Python, started when they are first needed; a forked child starts its own."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start from nothing: the threads of a process don't live on in its forked children."""
        self.lock = threading.Lock()
        self.executor: ThreadPoolExecutor | None = None
        self.size = 0

    def spread(
        self, kernel: Callable[[int, int, *Args], object], tasks: int, threads: int, args: tuple[*Args]
    ) -> None:
        bounds = [tasks * i // threads for i in range(threads + 1)]
        others: list[Future[object]] = []
        rest = bounds[1]
        try:
            with contextlib.suppress(RuntimeError):  # no new threads while the interpreter ends
                executor = self._executor(threads - 1)
                for first, last in pairwise(bounds[1:]):
                    others.append(executor.submit(kernel, first, last, *args))
                    rest = last
            kernel(0, bounds[1], *args)
            if rest < tasks:
                kernel(rest, tasks, *args)
        finally:
            wait(others)
        for other in others:
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
    os.register_at_fork(after_in_child=_pool.forget)
