"""Squares of neighbours as the channels of one place."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn

from archdsl.nn.conv2d import carried
from archdsl.nn.stream import Stream, StreamModule, put_together


class Fold(StreamModule):
    """Streams of maps (B, H W, C) to streams of maps (B, ceil(H / k) ceil(W / k), k k C).

    Args:
        side: k, the side of a square.
        project: widths of the linear map `extras` for extra tokens, None where there are none.
    """

    def __init__(self, *, side: int, project: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.side = side
        self.extras = nn.Linear(*project) if project else None

    def forward(self, s: Stream) -> Stream:
        """The map folded, the extra tokens carried past."""
        k = self.side
        patches, extras = s.take_apart()
        batch, _, channels = patches.shape
        height, width = s.grid
        grid = down, across = -(-height // k), -(-width // k)
        x = patches.reshape(batch, height, width, channels)
        if height % k or width % k:
            x = F.pad(x, (0, 0, 0, across * k - width, 0, down * k - height))
        x = x.reshape(batch, down, k, across, k, channels).permute(0, 1, 3, 4, 2, 5)
        folded = x.reshape(batch, down * across, k * k * channels)
        return put_together(folded, carried(extras, self.extras), grid, s.extras)
