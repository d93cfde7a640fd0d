"""How the work of a scan is cut into programs: a table, not a search at run time."""

from __future__ import annotations

from typing import NamedTuple

STATES_OF_A_PROGRAM = 512
"""Numbers of state that one warp holds: 16 in each thread leave room for tiles without spills."""
MOST_CHANNELS = 32
"""Channels of a program where the state is small: one in each thread."""


class Blocks(NamedTuple):
    """Sizes of a program.

    Args:
        state: N, the next power of two.
        channels: CHANNELS of a program.
        steps: STEPS of a tile; divides 32, the steps between two saved states.
        warps: of a program.
    """

    state: int
    channels: int
    steps: int
    warps: int


def blocks_of(state: int) -> Blocks:
    """The sizes for `state` numbers in the state of a channel."""
    padded = 1 << max(0, state - 1).bit_length()
    channels = max(1, min(MOST_CHANNELS, STATES_OF_A_PROGRAM // padded))
    return Blocks(padded, channels, 8, 1)
