"""Patches of an image as tokens."""

from __future__ import annotations

from torch import nn

from archdsl.nn.conv2d import carried
from archdsl.nn.stream import Stream, StreamModule


class PatchEmbed(StreamModule):
    """Streams of maps (B, H W, channels) to streams of patches (B, N, dim); any size from one patch on.

    Args:
        channels: of the map.
        dim: of a token.
        patch: side of a patch.
        stride: places from one patch to the next.
        extras: whether extra tokens go through a linear map `extras` of their own.
    """

    def __init__(self, channels: int, dim: int, patch: int, stride: int, extras: bool = False) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch, stride)
        self.extras = nn.Linear(channels, dim) if extras else None

    def forward(self, s: Stream) -> Stream:
        """The patches, the extra tokens carried past.

        Raises:
            ValueError: for a map smaller than a patch.
        """
        (height, width), patch = s.grid, self.proj.kernel_size[0]
        if height < patch or width < patch:
            raise ValueError(
                f"a patch of {patch} x {patch} does not fit into {height} x {width}: use a larger image"
            )
        image, extras = s.map_and_extras()
        return s.with_map(self.proj(image), carried(extras, self.extras))
