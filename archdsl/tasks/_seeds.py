"""Random numbers that depend on what they are for and on nothing else."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived(seed: int, *purpose: object) -> int:
    """A seed of 63 bits, different for every purpose."""
    text = "/".join(str(p) for p in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: object) -> torch.Generator:
    """A generator on the CPU for one purpose."""
    return torch.Generator().manual_seed(derived(seed, *purpose))


@contextmanager
def seeded(seed: int, *purpose: object, devices: bool = True) -> Iterator[None]:
    """Runs with the generators that libraries share (torch's of every device, numpy's, Python's) set for one
    purpose; afterwards they are as they were. Without `devices` only those of the CPU."""
    number = derived(seed, *purpose)
    count = torch.cuda.device_count() if devices and torch.cuda.is_available() else 0
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(range(count)):
        torch.manual_seed(number) if devices else torch.default_generator.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)
