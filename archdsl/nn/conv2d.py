"""Convolution over the places of a map."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from archdsl.nn.stream import Stream, StreamModule


class Conv2d(StreamModule):
    """Streams of maps (B, H W, C) to streams of maps, channels last throughout.

    Args:
        in_channels, out_channels, kernel_size, stride, groups, bias: as of torch.nn.Conv2d; K - 1 zeros are
            added along each axis, the odd one behind.
        extras: whether extra tokens go through a linear map `extras` of their own.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
        extras: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, (kernel_size - 1) // 2, groups=groups, bias=bias
        )
        self.extras = nn.Linear(in_channels, out_channels) if extras else None
        self.uneven = kernel_size % 2 == 0

    def forward(self, s: Stream) -> Stream:
        """The map convolved, the extra tokens carried past."""
        image, extras = s.map_and_extras()
        if self.uneven:
            image = F.pad(image, (0, 1, 0, 1))
        return s.with_map(self.conv(image), carried(extras, self.extras))


def carried(extras: tuple[Tensor, ...], by: nn.Linear | None) -> tuple[Tensor, ...]:
    """Extra tokens (B, n, C) past an operator on maps: through their linear map, or unchanged.

    Copied for the linear map, so that it does not keep all tokens for the backward.
    """
    return extras if by is None else tuple(by(e.contiguous()) for e in extras)
