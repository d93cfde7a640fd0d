"""How the work of a scan is cut into programs: a table, not a search at run time.

The figures follow from the arithmetic of the chip and from what the assembler says about registers; none of
them was measured on a device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from archdsl.kernels.selective_scan.inputs import CHUNK

STATES_OF_A_PROGRAM = 512
"""Numbers of state that one warp holds: 16 in each thread leave room for tiles without spills."""
MOST_CHANNELS = 32
"""Channels of a program where the state is small: one in each thread."""
MANY_STATES = 8
"""Where a step takes long enough that four are a tile: half the registers and half the code of eight."""
ENOUGH_PROGRAMS = 2048
"""Warps that keep a large GPU busy: four for each of the four schedulers of 132 multiprocessors."""
SHORTEST_SEGMENT = 64
"""Steps below which a segment is not worth its share of two more launches."""
FEWEST_SEGMENTS = 3
"""Splitting does the exponentials twice: with fewer segments it can't win."""
WIDEST = 16
"""Bytes that a thread reads at once at most."""


class Blocks(NamedTuple):
    """Sizes of a program.

    Args:
        state: N, the next power of two.
        channels: CHANNELS of a program.
        steps: STEPS of a tile; divides `CHUNK`.
        warps: of a program.
    """

    state: int
    channels: int
    steps: int
    warps: int


class Tile(NamedTuple):
    """Sizes of a program that goes over a matrix element by element."""

    rows: int
    columns: int
    warps: int


MERGE = Tile(8, 128, 4)
"""Of the merge: 8 numbers for each thread."""


def blocks_of(state: int) -> Blocks:
    """The sizes for `state` numbers in the state of a channel."""
    padded = 1 << (state - 1).bit_length()
    channels = max(1, min(MOST_CHANNELS, STATES_OF_A_PROGRAM // padded))
    return Blocks(padded, channels, 8 if padded < MANY_STATES else 4, 1)


def steps_last(dtype: torch.dtype) -> int:
    """STEPS where steps are last in memory: what a thread reads at once."""
    return WIDEST // dtype.itemsize


def segment_of(programs: int, length: int) -> int:
    """The length of a segment, `length` where splitting does not pay; `programs` without a split."""
    segments = min(ENOUGH_PROGRAMS // programs, length // SHORTEST_SEGMENT)
    if segments < FEWEST_SEGMENTS:
        return length
    return -(-length // (segments * CHUNK)) * CHUNK
