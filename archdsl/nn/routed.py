"""The same network over several readings of the sequence."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from archdsl.features import Extra, Order, visited_grid
from archdsl.nn.stream import PartsModule, Stream, put_together, run


class Routed(PartsModule):
    """Runs one part along each route, puts the results back in place where asked, and merges them.

    Args:
        order: the routes; a part for each.
        merge: `mean` or `add`.
        grid, extras: places of the tokens the indices are kept for; other grids are indexed when they come.
        parts: the networks by name, in the order of the routes.
        restore: whether results are put back in place.
    """

    def __init__(
        self,
        order: tuple[Order, ...],
        merge: str,
        grid: tuple[int, ...],
        extras: tuple[Extra, ...],
        parts: Mapping[str, nn.Module],
        restore: bool = True,
    ) -> None:
        super().__init__(parts)
        self.order = order
        self.merge = merge
        self.restore = restore
        self.grid = grid
        self.extras = extras
        for way in _ways(order):
            index, inverse = sequence_index(way, grid, extras, torch.get_default_device())
            self.register_buffer(_buffer(way, "there"), index, persistent=False)
            self.register_buffer(_buffer(way, "back"), inverse, persistent=False)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Writes the indices again, for a module that was built on the meta device."""
        for way in _ways(self.order):
            there, back = self._kept(way)
            index, inverse = sequence_index(way, self.grid, self.extras, there.device)
            there.copy_(index)
            back.copy_(inverse)

    def forward(self, s: Stream) -> Stream:
        """The merged routes.

        Raises:
            ValueError: where results that are not put back in place have zero slots on this map.
        """
        total: Tensor | None = None
        for order, part in zip(self.order, self.parts(), strict=True):
            y = self._along(order, part, s)
            total = y if total is None else total + y
        assert total is not None
        return s.with_x(total / len(self.order) if self.merge == "mean" and len(self.order) > 1 else total)

    def paths(self, s: Stream) -> Tensor | None:
        """The token of each route at each step (routes, T), reverses left out; None where slots are zero."""
        found = []
        for order in self.order:
            if order.path == "rows":
                found.append(torch.arange(s.x.shape[1], device=s.x.device))
                continue
            there, back = self._index(order, s)
            if len(there) != len(back):
                return None
            found.append(there)
        return torch.stack(found)

    def _along(self, order: Order, part: nn.Module, s: Stream) -> Tensor:
        if order == Order():
            return run(part, s).x
        x, regions = s.x, s.regions
        if order.path != "rows":
            there, back = self._index(order, s)
            x = _placed(x, there, back)
            regions = None if regions is None else regions.index_select(1, there)
        if order.reverse:
            x = x.flip(1)
            regions = None if regions is None else regions.flip(1)
        y = run(part, Stream(x, (x.shape[1],), (), regions)).x
        if not self.restore:
            if y.shape[1] != s.x.shape[1]:
                raise ValueError(
                    f"with restore = off the windows of {order.text} have to divide a map of "
                    f"{s.grid[0]} x {s.grid[1]}: use an image size whose map they divide"
                )
            return y
        if order.reverse:
            y = y.flip(1)
        return y if order.path == "rows" else y.index_select(1, back)

    def _index(self, order: Order, s: Stream) -> tuple[Tensor, Tensor]:
        """See `sequence_index`."""
        if s.grid == self.grid and s.extras == self.extras:
            return self._kept(order)
        return sequence_index(order, s.grid, s.extras, s.x.device)

    def _kept(self, order: Order) -> tuple[Tensor, Tensor]:
        return getattr(self, _buffer(order, "there")), getattr(self, _buffer(order, "back"))


def _placed(x: Tensor, there: Tensor, back: Tensor) -> Tensor:
    """The tokens in their new order, zeros in the slots that no token takes."""
    if len(there) == len(back):
        return x.index_select(1, there)
    return x.new_zeros(x.shape[0], len(there), x.shape[2]).index_copy(1, back, x)


def _ways(order: tuple[Order, ...]) -> tuple[Order, ...]:
    """The orders that need an index, without their reverses."""
    return tuple(dict.fromkeys(o._replace(reverse=False) for o in order if o.path != "rows"))


def _buffer(order: Order, direction: str) -> str:
    return f"{order.path}{order.size or ''}_{direction}"


def sequence_index(
    order: Order, grid: tuple[int, ...], extras: tuple[Extra, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which token stands at each place of the reordered sequence, and at which place each token stands.

    The first is longer where the order visits zero slots: it holds the nearest token of the map there, whose
    region theirs is. Extra tokens have the slots that they have among as many patches. `reverse` is left out.
    Computed on the device, so that a change of grid copies nothing from the host.
    """
    height, width = grid
    down, across = visited_grid(order.path, order.size, (height, width))
    route = _rank(order, down, across, device).argsort()
    rows, columns = route // across, route % across
    tokens = height * width + sum(e.count for e in extras)
    places = Stream(torch.arange(tokens, device=device)[None, :, None], grid, extras)
    patches, others = places.take_apart()
    nearest = rows.clamp(max=height - 1) * width + columns.clamp(max=width - 1)
    moved = patches[:, nearest]
    there = put_together(moved, others, (down, across), extras).x[0, :, 0]
    zero = ((rows >= height) | (columns >= width))[None, :, None]
    taken = put_together(moved.masked_fill(zero, tokens), others, (down, across), extras).x[0, :, 0]
    return there, taken.argsort()[:tokens]


def _rank(order: Order, height: int, width: int, device: torch.device) -> Tensor:
    """A number for each place, row by row, that grows along the path; windows divide height and width."""
    rows = torch.arange(height, device=device)[:, None]
    columns = torch.arange(width, device=device)[None, :]
    k = order.size
    match order.path:
        case "columns":
            rank = columns * height + rows
        case "snake":
            rank = rows * width + torch.where(rows % 2 == 0, columns, width - 1 - columns)
        case "snake_columns":
            rank = columns * height + torch.where(columns % 2 == 0, rows, height - 1 - rows)
        case "local":
            rank = ((rows // k * (width // k) + columns // k) * k + rows % k) * k + columns % k
        case "local_columns":
            rank = ((columns // k * (height // k) + rows // k) * k + columns % k) * k + rows % k
        case _:
            raise ValueError(f"no such order: {order.path}")
    return rank.flatten()
