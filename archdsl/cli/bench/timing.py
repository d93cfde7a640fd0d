"""Times of several ways to the same end: taken in turns, medians, so that a busy moment hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

BLOCK = 0.02
"""Seconds that one sample of a fast way lasts: it is called several times."""
MOST_CALLS = 20
SLOW = 0.15
"""Seconds from which a way is called once a sample, without a call before it that only warms the caches."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often to measure.

    Args:
        rounds: samples of every way.
        patience: seconds that the samples of one way may take; slow ones get fewer, two at least.
    """

    rounds: int = 9
    patience: float = 8.0


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of one call.

    Args:
        median: of the samples.
        low, high: the smallest and the largest of them.
        samples: how many.
    """

    median: float
    low: float
    high: float
    samples: int

    def milliseconds(self) -> dict[str, float | int]:
        """As it is written into a file."""
        low, median, high = (round(1e3 * s, 4) for s in (self.low, self.median, self.high))
        return {"median": median, "low": low, "high": high, "samples": self.samples}


def clock(threads: int) -> Callable[[], float]:
    """Processor time for one thread, which neighbours disturb little; wall time for more."""
    return time.process_time if threads == 1 else time.perf_counter


def in_turns(
    ways: Mapping[str, Callable[[], object]], plan: Plan, now: Callable[[], float]
) -> dict[str, Timed]:
    """Measures every way in every round, one after the other.

    Args:
        ways: what to call, by name.
        plan: how often.
        now: the clock, in seconds.
    """
    calls = {name: _calls(way, now) for name, way in ways.items()}
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(plan.rounds):
        for name, way in ways.items():
            if number < 2 or sum(samples[name]) * calls[name] < plan.patience:
                samples[name].append(_sample(way, calls[name], now))
    return {name: Timed(statistics.median(s), min(s), max(s), len(s)) for name, s in samples.items()}


def _calls(way: Callable[[], object], now: Callable[[], float]) -> int:
    """How many calls make one sample, from a second call: the first one may compile."""
    way()
    start = now()
    way()
    seconds = now() - start
    return 1 if seconds >= SLOW else max(1, min(MOST_CALLS, round(BLOCK / max(seconds, 1e-7))))


def _sample(way: Callable[[], object], calls: int, now: Callable[[], float]) -> float:
    if calls > 1:
        way()
    start = now()
    for _ in range(calls):
        way()
    return (now() - start) / calls
