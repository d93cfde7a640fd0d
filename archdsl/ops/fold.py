"""Squares of neighbours as the channels of one place."""

from __future__ import annotations

from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op
from archdsl.ops._memory import apart, size
from archdsl.ops._places import need_map
from archdsl.ops._types import Kernel
from archdsl.ops._widths import carried_macs, carried_params, carried_tokens, resolve_width
from archdsl.tape import Flow, Part, joined, pad


class Fold(Op):
    """`fold(side)`: every square of k x k places becomes one place that has the channels of all of them.

    A map (H, W, C) becomes ceil(H / k) by ceil(W / k) places of k k C channels; where k does not divide a
    side, zeros fill the last squares at the right and bottom. The places of a square stand column by column:
    for k = 2 the channels of (0, 0), (1, 0), (0, 1), (1, 1), each row and column counted within the square.
    Extra tokens go through a linear map of their own.

    Args:
        side: k, the side of a square.
    """

    name: ClassVar[str] = "fold"
    source: ClassVar[str] = "patch merging: Swin, arXiv 2103.14030, section 3.1; VMamba, arXiv 2401.10166"
    module: ClassVar[str] = "archdsl.nn.fold:Fold"

    side: Kernel

    def vanishes(self, x: Feature) -> bool:
        """Squares of one place."""
        return self.side == 1

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """A map of ceil(side / k) places on each side, with k k C channels."""
        height, width = need_map(x, "folding")
        out = resolve_width(x.dim * self.side**2, x, "side")
        return Feature(out, (-(-height // self.side), -(-width // self.side)), x.extras, x.windows)

    def params(self, x: Feature, y: Feature) -> int:
        """The linear map of the extra tokens."""
        return carried_params(x, y)

    def macs(self, x: Feature, y: Feature) -> Macs:
        """Of that linear map."""
        return Macs(linear=carried_macs(x, y))

    def reduction(self, x: Feature, y: Feature) -> int:
        """The side."""
        return self.side

    def workspace(self, x: Feature, y: Feature) -> int:
        """The map with zeros that fill its last squares; extra tokens."""
        filled = any(side % self.side for side in x.grid)
        return apart(x) + size(y) * (filled + bool(y.extras))

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Copies, and the extra tokens' linear map."""
        k = self.side
        patches, extras = s.take_apart()
        batch, _, channels = patches.shape
        (height, width), (down, across) = s.grid, y.grid
        x = patches.reshape(batch, height, width, channels)
        if height % k or width % k:
            x = pad(x, 0, down * k - height, across * k - width, 0)
        x = x.reshape(batch, down, k, across, k, channels).permute(0, 1, 3, 4, 2, 5)
        folded = x.reshape(batch, down * across, k * k * channels)
        return joined(folded, carried_tokens(extras, y.dim), y.grid, s.extras)

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The side, and the widths of the extra tokens' linear map where there are such."""
        return {"side": self.side, "project": (x.dim, y.dim) if carried_params(x, y) else None}
