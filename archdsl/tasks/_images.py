"""What a data set gives to training: batches of images with their classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Batch = tuple["Tensor", "Tensor"]
"""Images (B, channels, H, W), normalised, and their classes (B)."""

SPLITS = ("train", "validation", "test")


class Images(Protocol):
    """The images of a task, in three splits without common images."""

    def count(self, split: str) -> int:
        """How many images are in `train`, `validation` or `test`."""
        ...

    def train(self, seed: int, epoch: int, batch: int) -> Iterator[Batch]:
        """The training images once, changed at random: in an order and with changes that depend on seed and
        epoch alone. Only the last batch may be smaller."""
        ...

    def plain(self, split: str, batch: int) -> Iterator[Batch]:
        """The images of a split in their order, unchanged."""
        ...
