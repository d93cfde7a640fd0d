"""Which of two kernels is faster on this machine, measured once for every kind of product.

Kernels of PyTorch's libraries differ by processor: no rule known beforehand tells which one wins. A few short
runs do, the fastest of each counts. What they showed lies in a file beside the compiled kernels, so that all
processes on a machine take the same kernel and round alike.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from archdsl.kernels import cache
from archdsl.kernels.linear.inputs import Call, Kernel, Product

TINY = 1 << 20
"""Multiply-accumulates below which no kernel can win what it takes to call it."""
RUNS = 5
"""Of each kernel."""
MOST_MACS = 1 << 24
"""In one run, as far as that leaves `FEWEST_ROWS`: each row of a larger product takes as long."""
FEWEST_ROWS = 128
"""With fewer, reading a wide weight takes a larger share than in a call with more."""
FINE = 1e-6
"""Seconds: a clock that is coarser can't time a run."""
WON = 0.9
"""Share of the other's time that is a win; less may be chance."""


class Times(NamedTuple):
    """Seconds of the fastest runs."""

    mine: float
    other: float


class Race:
    """Runs of a kernel against another.

    Args:
        mine, other: load them.
    """

    def __init__(self, mine: Callable[[], Kernel], other: Callable[[], Kernel]) -> None:
        self._mine, self._other = mine, other
        self._known: dict[Call, Times] = {}

    def lost(self, call: Call) -> str | None:
        """Why a call is left to the other kernel, None where mine is clearly faster."""
        if call.macs < TINY:
            return "the product is small"
        kind = kind_of(call)
        times = self._known.get(kind) or self._known.setdefault(kind, self._kept(kind))
        if times.mine < WON * times.other:
            return None
        return f"it takes {times.mine / times.other:.2f} times as long as PyTorch's own"

    def _kept(self, kind: Call) -> Times:
        name = f"times-{hashlib.sha256(f'{_machine()} {kind}'.encode()).hexdigest()[:40]}"
        try:
            found = Times(*map(float, json.loads(cache.read(name) or b"")))
        except (ValueError, TypeError):
            found = measured(self._mine(), self._other(), kind)
            cache.write(name, json.dumps(found).encode(), tell=False)
        return found


def kind_of(call: Call) -> Call:
    """Calls of one kind are timed together: rows are rounded to a power of two, and bounded."""
    most = max(FEWEST_ROWS, MOST_MACS // (call.inputs * call.outputs))
    return call._replace(rows=min(most, 1 << (call.rows - 1).bit_length()))


def measured(mine: Kernel, other: Kernel, kind: Call) -> Times:
    """Times both in turns; of one thread, its processor time, which others on the machine disturb less."""
    fine = kind.threads == 1 and time.get_clock_info("thread_time").resolution < FINE
    now = time.thread_time if fine else time.perf_counter
    with torch.no_grad(), torch.autocast(kind.device, enabled=False):
        runs = [_run(kernel, kind) for kernel in (mine, other)]
        for run in runs:
            run()
        best = [float("inf")] * 2
        for _ in range(RUNS):
            for i, run in enumerate(runs):
                start = now()
                run()
                best[i] = min(best[i], now() - start)
    return Times(*best)


def _run(kernel: Kernel, kind: Call) -> Callable[[], object]:
    def ones(*size: int) -> torch.Tensor:
        return torch.ones(size, dtype=kind.dtype, device=kind.device)

    x, weight = ones(kind.rows, kind.inputs), ones(kind.outputs, kind.inputs)
    dout = ones(kind.rows, kind.outputs)
    if kind.product is Product.FORWARD:
        return lambda: kernel.forward(x, weight)
    if kind.product is Product.INPUT:
        return lambda: kernel.by_input(dout, weight)
    return lambda: kernel.by_weight(dout, x)


@functools.cache
def _machine() -> str:
    """What times depend on, beside the kind of product."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line for line in lines if line.startswith("model name")), processor)
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{processor} {os.cpu_count()} {capability} {torch.__version__}"
