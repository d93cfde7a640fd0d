"""Position embeddings for another grid."""

from __future__ import annotations

from math import isqrt

from torch import Tensor
from torch.nn.functional import interpolate


def square_grid(places: int) -> tuple[int, int] | None:
    """The square grid of so many places, None where there is none."""
    side = isqrt(places)
    return (side, side) if side * side == places else None


def resize_positions(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """A table (..., H W, C) of a grid, bicubically resized to another, as Mamba-R's fine-tuning code does it.

    Corners are not aligned and nothing is smoothed before.

    Args:
        table: row by row.
        old: (H, W) of the table.
        new: (H, W) wanted.
    """
    channels = table.shape[-1]
    places = table.reshape(-1, *old, channels).permute(0, 3, 1, 2).float()
    resized = interpolate(places, size=new, mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).reshape(*table.shape[:-2], new[0] * new[1], channels).to(table.dtype)
