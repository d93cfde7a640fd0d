"""What flows between operators, with tensors without numbers: the mirror of the stream of `archdsl.nn`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from archdsl.features import Extra, Feature, segments
from archdsl.tape.functions import cat
from archdsl.tape.tensor import IMAGES, Tensor, fresh


class Flow(NamedTuple):
    """Tokens with what is known about their places.

    Args:
        x: (B, T, C), the patches row by row with the extra tokens in their places; B counts windows too.
        grid, extras: as in `Feature`.
        regions: (windows, T) integers under shifted windows.
    """

    x: Tensor
    grid: tuple[int, ...]
    extras: tuple[Extra, ...] = ()
    regions: Tensor | None = None

    def with_x(self, x: Tensor) -> Flow:
        """The same places with other values."""
        return self._replace(x=x)

    def take_apart(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The patches (B, N, C) row by row, and every extra's tokens (B, n, C)."""
        if not self.extras:
            return self.x, ()
        patches: list[Tensor] = []
        extras: list[list[Tensor]] = [[] for _ in self.extras]
        for extra, start, stop in segments(prod(self.grid), self.extras):
            (patches if extra < 0 else extras[extra]).append(self.x.narrow(1, stop - start))
        return _one(patches), tuple(_one(e) for e in extras)

    def map_and_extras(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The patches as (B, C, H, W), and every extra's tokens (B, n, C)."""
        patches, extras = self.take_apart()
        batch, _, channels = patches.shape
        return patches.reshape(batch, *self.grid, channels).permute(0, 3, 1, 2), extras

    def with_map(self, image: Tensor, extras: tuple[Tensor, ...]) -> Flow:
        """A map (B, C', H', W') as the patches, with extras (B, n, C') in the slots of its grid."""
        grid = image.shape[2:]
        s = joined(image.permute(0, 2, 3, 1).flatten(1, 2).contiguous(), extras, grid, self.extras)
        return s._replace(regions=self.regions) if grid == self.grid else s


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a combinator: call it with what it receives, get what it returns.

    Args:
        input: the shape it receives.
        run: the call.
    """

    input: Feature
    run: Callable[[Flow], Flow]

    def __call__(self, s: Flow) -> Flow:
        return self.run(s)

    def entering(self, like: Tensor) -> Flow:
        """What it receives as a tensor of its own, on the tape of `like`."""
        x = self.input
        return Flow(fresh((IMAGES * x.windows, x.tokens, x.dim), like, gradient=True), x.grid, x.extras)


def joined(
    patches: Tensor, extras: tuple[Tensor, ...], grid: tuple[int, ...], kinds: tuple[Extra, ...]
) -> Flow:
    """The reverse of `Flow.take_apart`: one sequence, copied where there are extra tokens."""
    if not kinds:
        return Flow(patches, grid)
    runs: Sequence[Tensor] = [
        (patches if extra < 0 else extras[extra]).narrow(1, stop - start)
        for extra, start, stop in segments(prod(grid), kinds)
    ]
    return Flow(cat(runs, 1), grid, kinds)


def _one(runs: list[Tensor]) -> Tensor:
    return runs[0] if len(runs) == 1 else cat(runs, 1)
