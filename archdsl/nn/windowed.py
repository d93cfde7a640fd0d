"""Windows of a map: how a stream is cut into them and put together again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archdsl.features import Extra
from archdsl.nn.chain import Chain
from archdsl.nn.conv2d import carried
from archdsl.nn.stream import Stream, put_together


class Undo(NamedTuple):
    """What `Windows.leave` needs to know of the stream that was cut.

    Args:
        grid: of the map.
        padded: (height, width) of the map with its padding.
        roll: rows and columns it was rolled up and left by.
        kinds: its extra tokens.
        waiting: their values (B, n, C) where they wait outside, else ().
        regions: its regions.
    """

    grid: tuple[int, ...]
    padded: tuple[int, int]
    roll: tuple[int, int]
    kinds: tuple[Extra, ...]
    waiting: tuple[Tensor, ...]
    regions: Tensor | None


@dataclass(frozen=True, slots=True)
class Windows:
    """How a map is cut; the arguments are those of `archdsl.ops.windowed`.

    `enter` and `leave` stand around whatever works inside: one operator, or all blocks of a stage.
    """

    window: tuple[int, int] | str
    shift: int = 0
    pad: bool = False
    extras: str = "past"

    def sides(self, grid: tuple[int, ...]) -> tuple[int, int]:
        """(height, width) of a window of that map."""
        height, width = grid
        if isinstance(self.window, str):
            return (1, width) if self.window == "row" else (height, 1)
        return self.window

    def enter(self, s: Stream) -> tuple[Stream, Undo]:
        """The windows as a stream (B * windows, T, C), windows of one image behind each other.

        Raises:
            ValueError: where the windows do not divide the map and nothing pads it.
        """
        height, width = s.grid
        sides = high, wide = self.sides(s.grid)
        padded = (-(-height // high) * high, -(-width // wide) * wide)
        if padded != (height, width) and not self.pad:
            raise ValueError(
                f"windows of {high} x {wide} do not divide a map of {height} x {width}: "
                "use an image size whose map they divide, or pad = on"
            )
        roll = (self.shift if padded[0] > high else 0, self.shift if padded[1] > wide else 0)
        patches, extras = s.take_apart()
        x = _cut(patches, s.grid, sides, padded, roll)
        regions = _regions(s, sides, padded, roll)
        if self.extras == "past" or not extras:
            undo = Undo(s.grid, padded, roll, s.extras, extras, s.regions)
            return Stream(x, sides, (), regions), undo
        kinds = tuple(e._replace(at="start") for e in s.extras)
        windows = (padded[0] // high) * (padded[1] // wide)
        copies = tuple(e.repeat_interleave(windows, dim=0) for e in extras)
        inside = put_together(x, copies, sides, kinds)
        if regions is not None:
            regions = F.pad(regions, (sum(e.count for e in kinds), 0), value=-1)
        return Stream(inside.x, sides, kinds, regions), Undo(s.grid, padded, roll, s.extras, (), s.regions)

    def leave(self, s: Stream, undo: Undo) -> Stream:
        """The map put together, padding cut off, extra tokens back in their places."""
        high, wide = self.sides(undo.grid)
        down, across = undo.padded[0] // high, undo.padded[1] // wide
        patches, copies = s.take_apart()
        images = patches.shape[0] // (down * across)
        x = patches.reshape(images, down, across, high, wide, patches.shape[-1]).transpose(2, 3)
        x = x.reshape(images, *undo.padded, patches.shape[-1])
        if undo.roll != (0, 0):
            x = x.roll(undo.roll, dims=(1, 2))
        x = x[:, : undo.grid[0], : undo.grid[1]].flatten(1, 2).contiguous()
        extras = undo.waiting or tuple(e.reshape(images, down * across, *e.shape[1:]).mean(1) for e in copies)
        return Stream(put_together(x, extras, undo.grid, undo.kinds).x, undo.grid, undo.kinds, undo.regions)


def _cut(
    patches: Tensor,
    grid: tuple[int, ...],
    sides: tuple[int, int],
    padded: tuple[int, int],
    roll: tuple[int, int],
) -> Tensor:
    """Patches (B, N, C) as windows (B * windows, T, C)."""
    high, wide = sides
    batch, _, channels = patches.shape
    x = patches.reshape(batch, *grid, channels)
    x = F.pad(x, (0, 0, 0, padded[1] - grid[1], 0, padded[0] - grid[0])) if padded != grid else x
    if roll != (0, 0):
        x = x.roll((-roll[0], -roll[1]), dims=(1, 2))
    down, across = padded[0] // high, padded[1] // wide
    x = x.reshape(batch, down, high, across, wide, channels).transpose(2, 3)
    return x.reshape(batch * down * across, high * wide, channels)


def _regions(
    s: Stream, sides: tuple[int, int], padded: tuple[int, int], roll: tuple[int, int]
) -> Tensor | None:
    """Which tokens were neighbours before the roll, (windows, T); None where all were."""
    own: Tensor | None = None
    if roll != (0, 0):
        down, across = (
            _bands(side, window, by, s.x.device) for side, window, by in zip(padded, sides, roll, strict=True)
        )
        own = _cut((down[:, None] * 3 + across).reshape(1, -1, 1), padded, sides, padded, (0, 0))[..., 0]
    if s.regions is None:
        return own
    outer = Stream(s.regions.unsqueeze(-1), s.grid, s.extras).take_apart()[0]
    cut = _cut(outer, s.grid, sides, padded, roll)[..., 0]
    return cut if own is None else cut * 9 + own.repeat(len(outer), 1)


def _bands(side: int, window: int, by: int, device: torch.device) -> Tensor:
    """Along one side of the rolled map: 0 before the last window, 1 in it, 2 for what came round the edge."""
    place = torch.arange(side, device=device)
    if by == 0:
        return torch.zeros_like(place)
    return (place >= side - window).long() + (place >= side - by).long()


class Windowed(Chain):
    """Its parts, one behind the other, inside windows.

    Args:
        window, shift, pad, extras: as in `Windows`.
        project: widths of a linear map for the extra tokens that wait outside, None for none.
        parts: the modules by name, in order.
    """

    def __init__(
        self,
        *,
        window: tuple[int, int] | str,
        shift: int,
        pad: bool,
        extras: str,
        project: tuple[int, int] | None,
        parts: Mapping[str, nn.Module],
    ) -> None:
        super().__init__(parts)
        self._windows = Windows(window, shift, pad, extras)
        self.extras_proj = nn.Linear(*project) if project else None

    def forward(self, s: Stream) -> Stream:
        """The map with the parts applied inside every window."""
        inside, undo = self._windows.enter(s)
        inside = super().forward(inside)
        undo = undo._replace(waiting=carried(undo.waiting, self.extras_proj))
        return self._windows.leave(inside, undo)
