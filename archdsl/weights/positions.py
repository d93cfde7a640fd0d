"""Position embeddings for another grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

from torch import Tensor

from archdsl.features import Extra
from archdsl.nn.position import resized
from archdsl.nn.stream import Stream, put_together

Grid = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Places:
    """What the rows of a position embedding stand for.

    Args:
        grid: (H, W) of the patches.
        extras: extra tokens among them.
    """

    grid: Grid
    extras: tuple[Extra, ...] = ()


def square_grid(patches: int) -> Grid | None:
    """The square grid of so many patches, None where there is none."""
    side = isqrt(patches) if patches > 0 else 0
    return (side, side) if side * side == patches and side > 0 else None


def resize_positions(table: Tensor, old: Grid, new: Places) -> Tensor:
    """A table (1, T, C) for another grid, as Mamba-R's fine-tuning code does it.

    Patches are resized bicubically (corners not aligned, nothing smoothed before), extra tokens keep their
    rows.

    Args:
        table: in the order of the sequence.
        old: (H, W) that the table is for.
        new: what it shall be for.
    """
    patches, extras = Stream(table, old, new.extras).take_apart()
    return put_together(resized(patches, old, new.grid), extras, new.grid, new.extras).x
