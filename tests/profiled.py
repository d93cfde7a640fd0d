"""What torch's profiler says about the memory of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


def peak_of(run: Callable[[], Any]) -> int:
    """The most bytes alive at once of those that a call allocates, by the profiler's memory events.

    What was allocated before does not count. The call is made once before, for what is made at first calls.

    Args:
        run: what to call; its result is kept till the end.
    """
    with torch.no_grad():
        run()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            result = run()
    del result
    results = seen.profiler
    assert results is not None
    assert results.kineto_results is not None
    sizes = sorted(_allocations(results.kineto_results.experimental_event_tree()))
    assert sizes
    alive = peak = 0
    for _, size in sizes:
        alive += size
        peak = max(peak, alive)
    return peak


def _allocations(events: Any) -> Iterator[tuple[int, int]]:
    """Times and bytes, less than 0 for what is freed."""
    for event in events:
        if event.tag.name == "Allocation":
            yield event.start_time_ns, event.extra_fields.alloc_size
        yield from _allocations(event.children)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads of torch: how it convolves depends on whether there are several."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
