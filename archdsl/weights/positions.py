"""Position embeddings for another grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import torch
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


def in_sequence(table: Tensor, extras: tuple[Extra, ...]) -> Tensor:
    """A table (1, T, C) that begins with the rows of class tokens, then registers', in the sequence's order.

    Raises:
        RuntimeError: where it has fewer rows than there are extra tokens.
    """
    counts = [e.count for e in extras]
    order = _by_kind(extras)
    patches = table.shape[-2] - sum(counts)
    rows = table.split_with_sizes([*(counts[i] for i in order), patches], dim=-2)
    others = tuple(rows[order.index(i)] for i in range(len(extras)))
    return put_together(rows[-1], others, (patches,), extras).x


def extras_first(table: Tensor, extras: tuple[Extra, ...]) -> Tensor:
    """The way back from `in_sequence`."""
    patches = table.shape[-2] - sum(e.count for e in extras)
    rows, others = Stream(table, (patches,), extras).take_apart()
    return torch.cat([*(others[i] for i in _by_kind(extras)), rows], dim=-2) if others else rows


def _by_kind(extras: tuple[Extra, ...]) -> list[int]:
    """The extras in the order class tokens, registers."""
    kinds = ("class_token", "registers")
    return sorted(range(len(extras)), key=lambda i: kinds.index(extras[i].kind))


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
