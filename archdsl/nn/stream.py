"""The value that modules pass on, and how extra tokens are taken out of the sequence and put back."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import NamedTuple

import torch
from torch import Tensor, nn

from archdsl.features import Extra, Segment, segments


class Stream(NamedTuple):
    """Tokens with what is known about their places.

    Args:
        x: (B, T, C), the patches row by row with the extra tokens in their places; B counts windows too.
        grid: (H, W), (tokens,) or () as in `Feature`; at run time, so that other image sizes work.
        extras: as in `Feature`.
        regions: (windows, T) integers under shifted windows: different regions do not see each other.
    """

    x: Tensor
    grid: tuple[int, ...]
    extras: tuple[Extra, ...] = ()
    regions: Tensor | None = None

    @property
    def patches(self) -> int:
        """Number of places in the grid."""
        n = 1
        for g in self.grid:
            n *= g
        return n

    @property
    def tokens(self) -> int:
        """Length of the sequence, extras included."""
        return self.patches + sum(e.count for e in self.extras)

    def with_x(self, x: Tensor) -> Stream:
        """The same places with other values (B, T, C')."""
        return Stream(x, self.grid, self.extras, self.regions)

    def take_apart(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The patches (B, N, C) row by row, and every extra's tokens (B, n, C)."""
        if not self.extras:
            return self.x, ()
        patches: list[Tensor] = []
        extras: list[list[Tensor]] = [[] for _ in self.extras]
        at = 0
        for extra, start, stop in _segments(self.patches, self.extras):
            run = self.x[:, at : at + stop - start]
            (patches if extra < 0 else extras[extra]).append(run)
            at += stop - start
        return _cat(patches), tuple(_cat(e) for e in extras)

    def to_map(self) -> Tensor:
        """The patches as (B, C, H, W), without a copy where there are no extras."""
        return self.map_and_extras()[0]

    def map_and_extras(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The patches as (B, C, H, W) in channels-last layout, and every extra's tokens (B, n, C)."""
        patches, extras = self.take_apart()
        h, w = self.grid
        return patches.reshape(patches.shape[0], h, w, patches.shape[2]).permute(0, 3, 1, 2), extras

    def with_map(self, image: Tensor, extras: tuple[Tensor, ...]) -> Stream:
        """A map (B, C', H', W') as the patches, with extras (B, n, C') in the slots of its grid.

        Copied where channels are planes, as behind a convolution of an image: else whatever takes the tokens
        as rows would copy them, and keep its copy for the backward.
        """
        h, w = image.shape[-2:]
        s = put_together(image.permute(0, 2, 3, 1).flatten(1, 2).contiguous(), extras, (h, w), self.extras)
        return s._replace(regions=self.regions) if (h, w) == self.grid else s


def put_together(
    patches: Tensor, extras: tuple[Tensor, ...], grid: tuple[int, ...], kinds: tuple[Extra, ...]
) -> Stream:
    """The reverse of `Stream.take_apart`: patches (B, N, C) and extras (B, n, C) as one sequence."""
    if not kinds:
        return Stream(patches, grid)
    n = 1
    for g in grid:
        n *= g
    runs = [patches[:, a:b] if e < 0 else extras[e][:, a:b] for e, a, b in _segments(n, kinds)]
    return Stream(torch.cat(runs, dim=1), grid, kinds)


def from_map(image: Tensor) -> Stream:
    """A map (B, C, H, W) as a stream without extras."""
    h, w = image.shape[-2:]
    return Stream(image.permute(0, 2, 3, 1).flatten(1, 2), (h, w))


def _segments(patches: int, extras: tuple[Extra, ...]) -> tuple[Segment, ...]:
    """`segments` for a compiler too: it warns of caches, and the places need a fixed number of patches."""
    find = segments.__wrapped__ if torch.compiler.is_compiling() else segments
    return find(index(patches), extras)


def _cat(runs: list[Tensor]) -> Tensor:
    return runs[0] if len(runs) == 1 else torch.cat(runs, dim=1)


class StreamModule(nn.Module):
    """A module that looks at places: `forward(Stream) -> Stream`.

    Modules that are none take and return tokens (B, T, C) alone; `run` serves both.
    """

    def forward(self, s: Stream) -> Stream:
        """Overridden by every operator."""
        raise NotImplementedError


class PartsModule(StreamModule):
    """A module with parts, each an attribute under its own name, as specs have it.

    So subclasses keep what they know in attributes that begin with an underscore.

    Args:
        parts: the modules by name, in order.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._part_names = tuple(parts)
        for name, part in parts.items():
            self.add_module(name, part)

    def parts(self) -> list[nn.Module]:
        """The parts in order; one that stands in several places as often (`children` tells it once)."""
        return [self.get_submodule(name) for name in self._part_names]


def run(module: nn.Module, s: Stream) -> Stream:
    """Applies a module of either kind."""
    if isinstance(module, StreamModule):
        out: Stream = module(s)
        return out
    return s.with_x(module(s.x))
