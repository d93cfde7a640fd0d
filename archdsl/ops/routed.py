"""The same network over several readings of the sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator

from archdsl.features import Feature, Order, visited_grid
from archdsl.ops._base import Infer, Op, PartParameter, ShapeError
from archdsl.ops._memory import Alive, size
from archdsl.ops._types import Flag, Orders, word
from archdsl.tape import Flow, Part, Tensor, add, fresh, index_select, keep, moved, scaled, zeros


class Routed(Op):
    """`routed(inner, order, merge, restore)`: `inner` runs along every route, with weights of its own.

    The results are put back in place and merged. Patches change places among themselves, extra tokens stay
    in their slots; `reverse` turns the whole sequence round. Along every route but `rows` what stands inside
    sees a list of tokens without places. Where the windows of `local(k)` do not divide the map, zeros fill
    them at the bottom and the right. Those are tokens like others inside, so there are more of them there;
    the way back leaves them out.

    Args:
        order: the routes.
        merge: `mean` or `add`.
        restore: whether every result is put back in place before it is merged; `off`: the tokens of one route
            meet those of the others that were visited at the same step, as in VMamba's cascade. Then no route
            visits zero slots.
    """

    name: ClassVar[str] = "routed"
    source: ClassVar[str] = (
        "Vim, arXiv 2401.09417, algorithm 1; VMamba, arXiv 2401.10166, section 4.3; "
        "local: LocalMamba, arXiv 2403.09338; snake: PlainMamba, arXiv 2403.17695"
    )
    module: ClassVar[str] = "archdsl.nn.routed:Routed"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("inner"),)

    order: Orders = (Order(),)
    merge: Annotated[Literal["mean", "add"], BeforeValidator(word)] = "mean"
    restore: Flag = True

    def resolved(self, x: Feature) -> Self:
        """Where there is one route nothing is merged, and where all are `rows` nothing is put back."""
        merge = self.merge if len(self.order) > 1 else "mean"
        restore = self.restore or all(order == Order() for order in self.order)
        return self.model_copy(update={"merge": merge, "restore": restore})

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input with as many channels as `inner` returns; `inner` keeps the number of tokens."""
        (inner,) = parts
        width = x.dim
        for order in self.order:
            if order.path != "rows" and not x.is_map:
                raise ShapeError(
                    "E304",
                    f"the order `{order.text}` needs a map",
                    label=f"receives {x}",
                    parameter="order",
                    help="tokens without places can be read forward and backward",
                )
            if not self.restore and _visited(order, x) != x.tokens:
                raise ShapeError(
                    "E302",
                    "zero slots of a route have no place in the result",
                    label=f"`{order.text}` visits {_visited(order, x)} tokens, {x.tokens} are given",
                    parameter="restore",
                    help="use restore = on, or windows that divide the map",
                )
            inside = x if order == Order() else replace(x, grid=(_visited(order, x),), extras=())
            y = inner(inside)
            width = y.dim
            if replace(y, dim=x.dim) != inside:
                raise ShapeError(
                    "E307",
                    "what runs along a route changes the tokens",
                    label=f"receives {inside}, returns {y}",
                    help="let it keep the number of tokens",
                )
        return replace(x, dim=width)

    def transparent(self, x: Feature, parts: int) -> bool:
        """Over the sequence as it is."""
        return self.order == (Order(),)

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """The routes one after the other, each a copy of the tokens in its order, and the sum so far."""
        out = size(y)
        held = peak = 0
        for order, part in zip(self.order, parts, strict=True):
            moves = (order.path != "rows") + order.reverse
            if moves:
                there = size(Feature(x.dim, (_visited(order, x),), (), x.windows))
                result = part.result or there
                back = result * moves if self.restore else 0
                peak = max(peak, held + there * moves, held + there + max(part.peak, result + back))
            peak = max(peak, held + part.peak, 3 * out if held else 0)
            held = out
        means = self.merge == "mean" and len(parts) > 1
        return Alive(max(peak, 2 * out if means else 0), out)

    def buffers(self, x: Feature, y: Feature) -> tuple[int, int]:
        """The places of the tokens of each route that leaves the rows, and the way back."""
        ways = {order._replace(reverse=False) for order in self.order if order.path != "rows"}
        return 0, sum(_visited(way, x) + x.tokens for way in ways)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Copies in the order of every route and back, and their sum."""
        total: Tensor | None = None
        for order, part in zip(self.order, parts, strict=True):
            result = self._along(order, part, s)
            total = result if total is None else add(total, result)
        if total is None:
            return s
        return s.with_x(scaled(total) if self.merge == "mean" and len(self.order) > 1 else total)

    def _along(self, order: Order, part: Part, s: Flow) -> Tensor:
        if order == Order():
            return part(s).x
        x, tokens = s.x, s.x.shape[1]
        if order.path != "rows":
            down, across = visited_grid(order.path, order.size, (s.grid[0], s.grid[1]))
            there = down * across + tokens - s.grid[0] * s.grid[1]
            if there == tokens:
                x = index_select(x, there)
            else:
                if x.gradient:
                    keep(x)
                x = fresh((x.shape[0], there, x.shape[2]), x)
        if order.reverse:
            x = moved(x)
        regions = s.regions
        if regions is not None:
            regions = zeros(x, regions.shape[0], x.shape[1], item=8)
        result = part(Flow(x, (x.shape[1],), (), regions)).x
        if not self.restore:
            return result
        if order.reverse:
            result = moved(result)
        return result if order.path == "rows" else index_select(result, tokens)

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """Routes that leave the rows bring tokens in order and back; the results are merged."""
        there, back, routes = x.tokens * x.dim, y.tokens * y.dim, len(self.order)
        moves = sum(order != Order() for order in self.order)
        return 2 * moves * (there + (back if self.restore else 0)) + (routes + 1) * back * (routes > 1)

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The routes, how they are merged, and the places they are laid out for."""
        return {
            "order": self.order,
            "merge": self.merge,
            "restore": self.restore,
            "grid": x.grid,
            "extras": x.extras,
        }

    def part_names(self, written: tuple[str, ...]) -> tuple[str, ...]:
        """A route's label for each part."""
        return tuple(order.label for order in self.order)


def _visited(order: Order, x: Feature) -> int:
    """Tokens on the route, zero slots and extra tokens included."""
    if not x.is_map:
        return x.tokens
    down, across = visited_grid(order.path, order.size, (x.grid[0], x.grid[1]))
    return down * across + x.tokens - x.patches
