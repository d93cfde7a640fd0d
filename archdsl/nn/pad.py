"""Zeros around a map until its sides are multiples of a number."""

from __future__ import annotations

import torch.nn.functional as F

from archdsl.nn.stream import Stream, StreamModule


class Pad(StreamModule):
    """Streams of maps to streams of maps, zeros at the bottom and the right.

    Args:
        multiple: what the sides become multiples of.
    """

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple

    def forward(self, s: Stream) -> Stream:
        """The map with its zeros; as it came where none are missing."""
        height, width = s.grid
        below, right = -height % self.multiple, -width % self.multiple
        if not below and not right:
            return s
        image, extras = s.map_and_extras()
        return s.with_map(F.pad(image, (0, right, 0, below)), extras)
