"""A network inside windows of the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, gcd
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op, PartParameter, ShapeError
from archdsl.ops._divisors import divisors_near
from archdsl.ops._memory import Alive, apart, behind, on_map, size
from archdsl.ops._places import need_map
from archdsl.ops._types import Count, Flag, Natural, describe, word
from archdsl.ops._widths import carried_macs, carried_params, carried_tokens
from archdsl.tape import Flow, Part, Tensor, fresh, joined, moved, pad, zeros

Line = Literal["row", "column"]
"""A window as long as the map."""


def _sides(value: object) -> object:
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise ValueError(
                f"expected a number, [height, width], row or column, found a list of {len(value)}"
            )
        return tuple(value)
    if isinstance(value, Fraction | int) and not isinstance(value, bool):
        return (value, value)
    value = word(value)
    if value not in get_args(Line):
        raise ValueError(f"expected a number, [height, width], row or column, found {describe(value)}")
    return value


class Windowed(Op):
    """`windowed(inner, window, shift, pad, extras)`: the map cut into windows, `inner` working in each.

    Windows lie side by side from the top left, row by row; their tokens lie row by row too.

    Args:
        window: side of a window, or [height, width]; `row` or `column`: each one is a window of its own,
            whatever the size of the map.
        shift: rows and columns the map is rolled up and left by before it is cut; tokens that were not
            neighbours do not attend to each other (Swin, section 3.2). Along a side that one window spans
            nothing is rolled. Rows and columns take none.
        pad: whether zeros fill the windows at the right and bottom; they are tokens like others inside.
        extras: `past`: extra tokens wait outside; `copy`: each window has a copy in front of its patches, and
            the copies are averaged after.
    """

    name: ClassVar[str] = "windowed"
    source: ClassVar[str] = "Swin, arXiv 2103.14030, section 3.2; padding as in MambaVision, arXiv 2407.08083"
    module: ClassVar[str] = "archdsl.nn.windowed:Windowed"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("inner"),)
    sequence: ClassVar[bool] = True
    hollow: ClassVar[bool] = True

    window: Annotated[tuple[Count, Count] | Line, BeforeValidator(_sides)] = (7, 7)
    shift: Natural = 0
    pad: Flag = False
    extras: Annotated[Literal["past", "copy"], BeforeValidator(word)] = "past"

    def resolved(self, x: Feature) -> Self:
        """Rows and columns need no padding, and without extra tokens none are copied."""
        pad = self.pad and not isinstance(self.window, str)
        return self.model_copy(update={"pad": pad, "extras": self.extras if x.extras else "past"})

    def canonical(self, x: Feature) -> Self:
        """Without a shift where one window spans the map, and without padding where nothing is missing."""
        if isinstance(self.window, str):
            return self
        found: dict[str, object] = {}
        if all(window >= side for window, side in zip(self.window, x.grid, strict=True)):
            found["shift"] = 0
        if all(side % window == 0 for window, side in zip(self.window, x.grid, strict=True)):
            found["pad"] = False
        return self.model_copy(update=found)

    def transparent(self, x: Feature, parts: int) -> bool:
        """One window that holds what there is in the order in which it is there."""
        return self.inside(x) == x

    def inside(self, x: Feature) -> Feature:
        """The shape of one window of `x`.

        Raises:
            ShapeError: E302 where windows do not fit, E304 without a map, E310 for a shift out of bounds.
        """
        height, width = need_map(x, "a window")
        sides = self._fitted(height, width)
        if not self.pad:
            self._check_division(x, sides)
        windows = ceil(height / sides[0]) * ceil(width / sides[1])
        extras = tuple(e._replace(at="start") for e in x.extras) if self.extras == "copy" else ()
        return replace(x, grid=sides, extras=extras, windows=x.windows * windows)

    def _fitted(self, height: int, width: int) -> tuple[int, int]:
        """Of a window of a map.

        Raises:
            ShapeError: E310 for a shift out of bounds.
        """
        if isinstance(self.window, str):
            if self.shift:
                raise ShapeError(
                    "E310",
                    f"a {self.window} cannot be shifted",
                    label=f"a shift of {self.shift}, the windows are {self.window}s",
                    parameter="shift",
                    help="use 0, or windows with sides",
                )
            return (1, width) if self.window == "row" else (height, 1)
        if self.shift >= min(self.window):
            raise ShapeError(
                "E310",
                "the shift is as large as the window",
                label=f"{self.shift}, the window is {min(self.window)}",
                parameter="shift",
                help=f"use {min(self.window) // 2}, half a window",
            )
        return self.window

    def _check_division(self, x: Feature, sides: tuple[int, int]) -> None:
        for window, side in zip(sides, x.grid, strict=True):
            if side % window == 0:
                continue
            square = sides[0] == sides[1]
            near = divisors_near(gcd(*x.grid) if square else side, window, most=2)
            raise ShapeError(
                "E302",
                "window does not divide the feature map",
                label=f"{window} does not divide {side}",
                parameter="window",
                help=f"use {near}, or pad = on" if near else "use pad = on",
            )

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input with as many channels as `inner` returns; `inner` keeps the windows' size."""
        (inner,) = parts
        inside = self.inside(x)
        y = inner(inside)
        if replace(y, dim=inside.dim) != inside:
            raise ShapeError(
                "E307",
                "what stands inside windows changes their size",
                label=f"receives {inside}, returns {y}",
                help="let it keep height, width and extra tokens",
            )
        return replace(x, dim=y.dim)

    def params(self, x: Feature, y: Feature) -> int:
        """A linear map of the extra tokens that wait outside while the width changes."""
        return carried_params(x, y) if self.extras == "past" else 0

    def macs(self, x: Feature, y: Feature) -> Macs:
        """Of that linear map."""
        return Macs(linear=carried_macs(x, y) if self.extras == "past" else 0)

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """The map cut into windows while the parts work on them, then their results put together.

        A map that is padded or rolled is copied for each; so it is on the way back. Where windows are shifted
        a mask says which tokens see which.
        """
        cut = self.inside(x)
        grid = tuple(-(-side // window) * window for side, window in zip(x.grid, cut.grid, strict=True))
        padded, rolled = grid != x.grid, 2 * (self.shift > 0)
        there, back = (size(replace(f, grid=grid, extras=())) for f in (x, y))
        view = cut.grid[1] == x.grid[1] and not padded and not rolled
        cuts = there if on_map(x) or not view else 0
        enter = apart(x) + max(there * (padded + rolled), there * bool(padded or rolled) + cuts)
        windows = size(cut) if cut.extras or cuts else apart(x)
        if cut.extras:
            enter = max(enter, apart(x) + cuts + windows)
        inside, out = behind(parts), size(y)
        seen = cut.tokens**2 * cut.windows if rolled else 0
        result, joined = inside.result or windows, 0 if view else back
        leave = result + max(joined * (1 + rolled), joined + out * bool(padded or y.extras))
        return Alive(max(enter, windows + seen + inside.peak, leave), out)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Copies as windows and back; what the parts keep inside."""
        inside, waiting = self.enter(s)
        for part in parts:
            inside = part(inside)
        return self.leave(inside, s, carried_tokens(waiting, y.dim))

    def enter(self, s: Flow) -> tuple[Flow, tuple[Tensor, ...]]:
        """The windows, and the extra tokens that wait outside."""
        sides, padded, roll = self._cutting(s.grid)
        patches, extras = s.take_apart()
        x = _cut(patches, s.grid, sides, padded, roll)
        windows = padded[0] // sides[0] * (padded[1] // sides[1])
        regions: Tensor | None = None
        if roll != (0, 0) or s.regions is not None:
            outer = 1 if s.regions is None else s.regions.shape[0]
            regions = zeros(s.x, outer * windows, sides[0] * sides[1], item=8)
        if self.extras == "past" or not extras:
            return Flow(x, sides, (), regions), extras
        kinds = tuple(e._replace(at="start") for e in s.extras)
        copies = tuple(fresh((e.shape[0] * windows, *e.shape[1:]), e) for e in extras)
        inside = joined(x, copies, sides, kinds)
        if regions is not None:
            regions = zeros(s.x, regions.shape[0], inside.x.shape[1], item=8)
        return inside._replace(regions=regions), ()

    def leave(self, inside: Flow, s: Flow, waiting: tuple[Tensor, ...]) -> Flow:
        """The map put together behind `inside`, as it was in `s`."""
        (high, wide), padded, roll = self._cutting(s.grid)
        down, across = padded[0] // high, padded[1] // wide
        patches, copies = inside.take_apart()
        images, channels = patches.shape[0] // (down * across), patches.shape[2]
        x = patches.reshape(images, down, across, high, wide, channels).transpose(2, 3)
        x = x.reshape(images, *padded, channels)
        if roll != (0, 0):
            x = moved(x)
        x = x.narrow(1, s.grid[0]).narrow(2, s.grid[1]).flatten(1, 2).contiguous()
        extras = waiting or tuple(fresh((images, *e.shape[1:]), e) for e in copies)
        return joined(x, extras, s.grid, s.extras)._replace(regions=s.regions)

    def _cutting(self, grid: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Sides of a window, of the padded map, and by how much that is rolled."""
        height, width = grid
        high, wide = sides = self._fitted(height, width)
        padded = (ceil(height / high) * high, ceil(width / wide) * wide)
        roll = (self.shift if padded[0] > high else 0, self.shift if padded[1] > wide else 0)
        return sides, padded, roll

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """The map is cut and put together again."""
        return 2 * (x.tokens * x.dim + y.tokens * y.dim)

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The windows, and the widths of the extra tokens' linear map where there is one."""
        return {
            "window": self.window,
            "shift": self.shift,
            "pad": self.pad,
            "extras": self.extras,
            "project": (x.dim, y.dim) if self.params(x, y) else None,
        }


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
    if padded != grid:
        x = pad(x, 0, padded[0] - grid[0], padded[1] - grid[1], 0)
    if roll != (0, 0):
        x = moved(x)
    down, across = padded[0] // high, padded[1] // wide
    x = x.reshape(batch, down, high, across, wide, channels).transpose(2, 3)
    return x.reshape(batch * down * across, high * wide, channels)
