"""The digits as tensors: resized, normalised, changed at random."""

from __future__ import annotations

from collections.abc import Iterator
from math import pi
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from archdsl.tasks._images import SPLITS, Batch
from archdsl.tasks._seeds import generator
from archdsl.tasks.digits import SIDE, table

if TYPE_CHECKING:
    from archdsl.tasks.digits import Digits


class DigitImages:
    """All digits in memory.

    They are resized (bicubic) and normalised by mean and deviation of the training pixels.

    Args:
        task: how much training images are changed.
        size: height and width of the images given.
        channels: of the images given; each is the same grey.
    """

    def __init__(self, task: Digits, size: tuple[int, int], channels: int) -> None:
        self.task = task
        self.channels = channels
        digits = table()
        rows = {split: torch.from_numpy(digits.indices(split)) for split in SPLITS}
        pixels = torch.from_numpy(digits.pixels).unsqueeze(1)
        seen = pixels[rows["train"]].double()
        pixels = ((pixels - seen.mean()) / seen.std()).float()
        if size != (SIDE, SIDE):
            pixels = interpolate(pixels, size, mode="bicubic", align_corners=False)
        labels = torch.from_numpy(digits.labels)
        self._paper = float(pixels[rows["train"]].min())
        self._splits = {split: (pixels[i].contiguous(), labels[i]) for split, i in rows.items()}

    def count(self, split: str) -> int:
        """Images in a split."""
        return len(self._splits[split][1])

    def train(self, seed: int, epoch: int, batch: int) -> Iterator[Batch]:
        """See `Images.train`."""
        draw = generator(seed, "images", epoch)
        pixels, labels = self._splits["train"]
        order = torch.randperm(len(labels), generator=draw)
        pixels = self._changed(pixels[order], draw)
        return _batches(self._coloured(pixels), labels[order], batch)

    def plain(self, split: str, batch: int) -> Iterator[Batch]:
        """See `Images.plain`."""
        pixels, labels = self._splits[split]
        return _batches(self._coloured(pixels), labels, batch)

    def _coloured(self, pixels: Tensor) -> Tensor:
        return pixels.expand(-1, self.channels, -1, -1)

    def _changed(self, pixels: Tensor, draw: torch.Generator) -> Tensor:
        """Every image moved, turned and zoomed on its own; what comes in at the edges is paper."""
        task = self.task
        if not (task.shift or task.rotate or task.zoom):
            return pixels
        dx, dy, turn, zoom = torch.rand(4, len(pixels), generator=draw).mul(2).sub(1)
        angle, scale = turn * (task.rotate * pi / 180), 1 + zoom * task.zoom
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        step = 2 * task.shift / SIDE  # coordinates of a grid run from -1 to 1
        rows = torch.stack([cos, -sin, dx * step, sin, cos, dy * step], dim=1).reshape(-1, 2, 3)
        grid = affine_grid(rows, list(pixels.shape), align_corners=False)
        return grid_sample(pixels - self._paper, grid, align_corners=False) + self._paper


def _batches(pixels: Tensor, labels: Tensor, batch: int) -> Iterator[Batch]:
    return zip(torch.split(pixels, batch), torch.split(labels, batch), strict=True)
