"""Whole models on a CUDA device, in bfloat16: images a second, and the most memory that is held."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping

import torch

from archdsl.cli.bench.groups import Group, Outputs, measured, medians
from archdsl.cli.bench.journal import Row
from archdsl.cli.bench.networks import Way, batch_of, built, inference, training
from archdsl.cli.bench.timing import Timed

PASSES = ("inference", "training")
OURS = "archdsl"
UNFUSED = "archdsl, unfused"
OWN = (OURS, UNFUSED)
ALLOWED = 5e-2
"""Largest difference between ways in bfloat16, against the largest value."""

Time = Callable[[Mapping[str, Callable[[], Outputs]]], Mapping[str, Timed]]


def measure(model: str, which: str, batch: int, image: int | None, device: str, time: Time) -> Row:
    """Times a model; where a batch does not fit into memory, half of it is tried.

    Args:
        model: its name.
        which: one of `PASSES`.
        batch: images at a time, at first.
        image: side of the images, None for that of the architecture.
        device: type of the device.
        time: measures ways.
    """
    while True:
        try:
            return _measured(model, which, batch, image, device, time)
        except torch.OutOfMemoryError:
            if batch == 1:
                return {"milliseconds": {}, "errors": {}, "not_run": dict.fromkeys(OWN, "out of memory")}
        batch //= 2
        if device == "cuda":
            torch.cuda.empty_cache()


def _measured(model: str, which: str, batch: int, image: int | None, device: str, time: Time) -> Row:
    ways, memory = {}, {}
    for name in OWN:
        ways[name] = _way(model, name == OURS, which, batch, image, device)
        memory[name] = _most_bytes(ways[name], device)
    truth = ways[UNFUSED]()
    row = measured(Group(dict(ways)), lambda name: truth, ALLOWED, time)
    per_second = {name: round(1e3 * batch / ms, 1) for name, ms in medians(row).items()}
    return {"batch": batch, **row, "images_per_second": per_second, "peak_bytes": memory}


def _way(
    model: str, fuse: bool, which: str, batch: int, image: int | None, device: str
) -> Callable[[], Outputs]:
    network = built(model, Way("auto", fuse, fuse, ""), image, device)
    images, classes = (v.to(device) for v in batch_of(network, batch))
    run = (training if which == "training" else inference)(network, images, classes)

    def under_autocast() -> Outputs:
        with torch.autocast(device, dtype=torch.bfloat16):
            return run()

    return under_autocast


def _most_bytes(run: Callable[[], Outputs], device: str) -> int:
    """What one call holds at most, the weights included; 0 where the device does not count."""
    if device != "cuda":
        run()
        return 0
    run()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def driver() -> str | None:
    """The version of the device's driver, where its tool is here to ask."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else None
