"""A network on some of the channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from archdsl.nn.chain import Chain
from archdsl.nn.stream import Stream


class Partial(Chain):
    """Runs its parts in order on the last channels; the others pass them.

    Args:
        channels: how many the parts work on.
        parts: the modules by name, in order.
    """

    def __init__(self, channels: int, parts: Mapping[str, nn.Module]) -> None:
        super().__init__(parts)
        self._channels = channels

    def forward(self, s: Stream) -> Stream:
        """The untouched channels, then those of the parts."""
        rest = s.x.shape[-1] - self._channels
        if rest == 0:
            return super().forward(s)
        passed, worked_on = torch.split(s.x, [rest, self._channels], dim=-1)
        return s.with_x(torch.cat([passed, super().forward(s.with_x(worked_on)).x], dim=-1))
