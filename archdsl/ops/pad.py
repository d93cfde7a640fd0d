"""Zeros around a map until its sides are multiples of a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._memory import Alive, apart, size
from archdsl.ops._places import need_map
from archdsl.ops._types import Kernel
from archdsl.tape import Flow, Part, pad


class Pad(Op):
    """`pad(multiple)`: zeros below and to the right of a map until both sides are multiples of a number.

    A map whose sides are multiples already stays as it is. Extra tokens are carried past, unchanged.

    Args:
        multiple: of what; from 1, which pads nothing.
    """

    name: ClassVar[str] = "pad"
    source: ClassVar[str] = "torch.nn.functional.pad; dense prediction with MILA, arXiv 2405.16605"
    module: ClassVar[str] = "archdsl.nn.pad:Pad"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "read"

    multiple: Kernel

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """A map of the next multiples of both sides."""
        height, width = need_map(x, "`pad`")
        return replace(x, grid=(self._up(height), self._up(width)))

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """The larger map; nothing where no zeros are missing."""
        if x == y:
            return Alive(0, 0)
        out = size(y)
        return Alive(apart(x) + (2 * out if y.extras else out), out)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """A copy where zeros are missing; nothing is kept."""
        if y.grid == s.grid:
            return s
        image, extras = s.map_and_extras()
        height, width = s.grid
        return s.with_map(pad(image, 0, 0, y.grid[0] - height, y.grid[1] - width), extras)

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The multiple."""
        return {"multiple": self.multiple}

    def vanishes(self, x: Feature) -> bool:
        """Where every size is a multiple."""
        return self.multiple == 1

    def transparent(self, x: Feature, parts: int) -> bool:
        """Where both sides are multiples."""
        return x.is_map and all(side % self.multiple == 0 for side in x.grid)

    def _up(self, side: int) -> int:
        return -(-side // self.multiple) * self.multiple
