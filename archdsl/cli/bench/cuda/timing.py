"""Times on a CUDA device: events around each call, the cache of the device overwritten before it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch

from archdsl.cli.bench.timing import Plan, Timed

WARM_UP = 3
FLUSH_BYTES = 256 * 2**20
"""More than the cache of any device holds."""

Sample = Callable[[Callable[[], object]], float]


def rounds(ways: Mapping[str, Callable[[], object]], plan: Plan, sample: Sample) -> dict[str, Timed]:
    """Every way in every round, one call each, after calls that warm up.

    Args:
        ways: what to call, by name.
        plan: how often.
        sample: seconds of one call.
    """
    for way in ways.values():
        for _ in range(WARM_UP):
            way()
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(plan.rounds):
        for name, way in ways.items():
            samples[name].append(sample(way))
    return {name: Timed(statistics.median(s), min(s), max(s), len(s)) for name, s in samples.items()}


class Events:
    """Samples by CUDA events on the current stream; nothing of the inputs is left in the cache."""

    def __init__(self) -> None:
        self.room = torch.empty(FLUSH_BYTES, dtype=torch.int8, device="cuda")
        event: Any = torch.cuda.Event
        self.before, self.behind = event(enable_timing=True), event(enable_timing=True)

    def __call__(self, way: Callable[[], object]) -> float:
        """Seconds of one call on the device."""
        self.room.zero_()
        torch.cuda.synchronize()
        self.before.record()
        way()
        self.behind.record()
        self.behind.synchronize()
        return 1e-3 * float(self.before.elapsed_time(self.behind))
