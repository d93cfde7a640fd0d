"""The one type of value that flows through an architecture, and where extra tokens stand in its sequence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import NamedTuple


class Extra(NamedTuple):
    """Tokens that are no patches: registers or class tokens.

    Args:
        kind: `registers` or `class_token`.
        count: how many tokens.
        at: `start`, `middle`, `end`, `even` (spread through the patches) or `both` (one at each end).
    """

    kind: str
    count: int  # type: ignore[assignment]  # hides tuple.count
    at: str


@dataclass(frozen=True, slots=True)
class Feature:
    """The shape of what flows, for one image.

    Args:
        dim: channels.
        grid: (height, width) of a map, (tokens,) of a list of tokens without places, () of a single vector.
        extras: tokens that travel with the patches, in the order they were written.
        windows: how many windows of an image have this shape (1 outside windows).
    """

    dim: int
    grid: tuple[int, ...]
    extras: tuple[Extra, ...] = ()
    windows: int = 1

    @property
    def patches(self) -> int:
        """Number of places in the grid (1 for a vector)."""
        return prod(self.grid)

    @property
    def tokens(self) -> int:
        """Length of the sequence, extras included."""
        return self.patches + sum(e.count for e in self.extras)

    @property
    def is_map(self) -> bool:
        """Whether the patches lie on a two-dimensional grid."""
        return len(self.grid) == 2

    def __str__(self) -> str:
        more = "".join(f" + {e.count} {e.kind}" for e in self.extras)
        return f"{self.shape}{more}, dim {self.dim}"

    @property
    def shape(self) -> str:
        """The grid in words: `14 x 14`, `12 tokens`, `a vector`."""
        if self.is_map or not self.grid:
            return " x ".join(map(str, self.grid)) or "a vector"
        return f"{self.patches} token{'s' if self.patches != 1 else ''}"


class Segment(NamedTuple):
    """A run of the sequence: rows `start..stop` of the patches (`extra` = -1) or of extra number `extra`."""

    extra: int
    start: int
    stop: int


def slots(extra: Extra, patches: int) -> tuple[int, ...]:
    """How many patches stand before each token of `extra`, in a sequence of `patches` patches.

    `even` puts one register behind each of the first n groups of floor(N / (n + 1)) patches and the remaining
    patches at the end (Mamba-R, arXiv 2405.14858).

    >>> slots(Extra("registers", 4, "even"), 16)
    (3, 6, 9, 12)
    """
    n = extra.count
    match extra.at:
        case "start":
            return (0,) * n
        case "middle":
            return (patches // 2,) * n
        case "end":
            return (patches,) * n
        case "even":
            group = patches // (n + 1)
            return tuple(group * (i + 1) for i in range(n))
        case "both":
            return (0,) * (n - n // 2) + (patches,) * (n // 2)
    raise ValueError(f"no such place for extra tokens: {extra.at}")


@lru_cache(maxsize=4096)
def segments(patches: int, extras: tuple[Extra, ...]) -> tuple[Segment, ...]:
    """The sequence as runs of patches and of extras, in order.

    Tokens that share a slot stand in the order in which their extras were written.
    """
    tokens = sorted(
        (slot, which, index)
        for which, extra in enumerate(extras)
        for index, slot in enumerate(slots(extra, patches))
    )
    out: list[Segment] = []
    at = 0
    for slot, which, index in tokens:
        if slot > at:
            out.append(Segment(-1, at, slot))
            at = slot
        if out and out[-1].extra == which and out[-1].stop == index:
            out[-1] = Segment(which, out[-1].start, index + 1)
        else:
            out.append(Segment(which, index, index + 1))
    if at < patches:
        out.append(Segment(-1, at, patches))
    return tuple(out)
