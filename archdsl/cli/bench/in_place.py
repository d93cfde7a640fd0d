"""Times of the blocks of a model where they stand: between their neighbours, in whole passes.

A block that is called again and again by itself finds its code and its tensors in the nearest caches, and
looks faster than it is inside a small model.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import torch
from torch import Tensor

from archdsl.compiler import compile_model
from archdsl.compiler.heads import run_head
from archdsl.compiler.model import Model
from archdsl.compiler.stage import StageModule
from archdsl.graph.architecture import Architecture
from archdsl.nn.stream import from_map, run

WARM_UP = 3
LEAST = 7
"""Passes that are timed, at least."""


@dataclass(slots=True)
class Marks:
    """Moments on a device, each with the block that ended then.

    Args:
        device: `cpu` or `cuda`.
        threads: of PyTorch: on a CPU, processor time is taken for one and wall time for more.
    """

    device: str
    threads: int
    _moments: list[Any] = field(default_factory=list)
    _blocks: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Forgets the moments there are and takes the first."""
        self._moments.clear()
        self._blocks.clear()
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.ended(-1)

    def ended(self, block: int) -> None:
        """What ran since the last moment belongs to the block of that number; it may have several parts."""
        self._blocks.append(block)
        if self.device == "cuda":
            event: Any = torch.cuda.Event
            self._moments.append(event(enable_timing=True))
            self._moments[-1].record()
        else:
            self._moments.append(time.process_time() if self.threads == 1 else time.perf_counter())

    def seconds(self) -> list[float]:
        """Of every block."""
        if self.device == "cuda":
            torch.cuda.synchronize()
        spent = [0.0] * (max(self._blocks) + 1)
        for block, (before, behind) in zip(self._blocks[1:], pairwise(self._moments), strict=True):
            on_gpu = self.device == "cuda"
            spent[block] += 1e-3 * float(before.elapsed_time(behind)) if on_gpu else behind - before
        return spent


@dataclass(frozen=True, slots=True)
class Passes:
    """How often a model is run.

    Args:
        least: passes.
        patience: seconds in which further passes may begin.
    """

    least: int = LEAST
    patience: float = 0.3


def images_for(architecture: Architecture, batch: int, dtype: torch.dtype, device: str) -> Tensor:
    """Images (batch, channels, height, width) of noise."""
    shape = (batch, architecture.channels, *architecture.image)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def model_for(architecture: Architecture, dtype: torch.dtype, device: str) -> Model:
    """The model, not in training, with initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return compile_model(architecture, device="cpu").to(device, dtype).eval()


def whole(model: Model, images: Tensor, marks: Marks, passes: Passes) -> float:
    """Seconds of a pass: the median."""

    def once() -> None:
        model(images)
        marks.ended(0)

    return statistics.median(row[0] for row in _repeated(once, marks, passes))


def by_block(model: Model, images: Tensor, marks: Marks, passes: Passes) -> list[list[float]]:
    """Seconds of the blocks in the order of `archdsl.graph.block_times.blocks_of`, for every pass."""
    return _repeated(lambda: _in_steps(model, images, marks), marks, passes)


def _repeated(once: Callable[[], None], marks: Marks, passes: Passes) -> list[list[float]]:
    rows: list[list[float]] = []
    began = 0.0
    with torch.inference_mode():
        while len(rows) < WARM_UP + passes.least or time.perf_counter() - began < passes.patience:
            if len(rows) == WARM_UP:
                began = time.perf_counter()
            marks.start()
            once()
            rows.append(marks.seconds())
    return rows[WARM_UP:]


def _in_steps(model: Model, images: Tensor, marks: Marks) -> None:
    """A pass as `Model.forward` makes it."""
    numbers = count()
    s = run(model.stem, from_map(images))
    marks.ended(next(numbers))
    for stage in model.stages.values():
        if not isinstance(stage, StageModule):
            raise TypeError("a model has stages of another kind")
        if stage.downsample is not None:
            s = run(stage.downsample, s)
            marks.ended(next(numbers))
        windows = None
        if stage.within is not None:
            windows = next(numbers)
            s, undo = stage.within.enter(s)
            marks.ended(windows)
        for block in stage.blocks.children():
            s = run(block, s)
            marks.ended(next(numbers))
        if stage.within is not None and windows is not None:
            s = stage.within.leave(s, undo)
            marks.ended(windows)
    if model.head is not None:
        run_head(model.head, s, False)
        marks.ended(next(numbers))
