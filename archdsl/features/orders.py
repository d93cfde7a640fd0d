"""Scan orders: in which sequence the tokens of a grid are read."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Order(NamedTuple):
    """One route through a grid.

    Args:
        path: `rows`, `columns`, `snake` (rows, every second one backwards) or `local` (window by window).
        reverse: read the whole sequence, extra tokens included, from its end.
        size: side of the windows of `local`.
    """

    path: str = "rows"
    reverse: bool = False
    size: int = 0

    @property
    def label(self) -> str:
        """A readable name of the route, also the name of its weights.

        No word that a torch module has as an attribute, such as `forward`.
        """
        name = f"{self.path}{self.size or ''}"
        return f"{name}_reverse" if self.reverse else name


@lru_cache(maxsize=1024)
def permutation(path: str, size: int, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major indices of the patches in the order in which `path` visits them.

    >>> permutation("snake", 0, (2, 3))
    (0, 1, 2, 5, 4, 3)

    Args:
        path: as in `Order`; a list of tokens without places (a one-dimensional grid) knows `rows` only.
        size: side of the windows of `local`; windows at the right and bottom edge may be smaller.
        grid: (height, width) or (tokens,).

    Raises:
        ValueError: for a path that needs a map on something that is none.
    """
    if path == "rows":
        n = 1
        for g in grid:
            n *= g
        return tuple(range(n))
    if len(grid) != 2:
        raise ValueError(f"the order `{path}` needs a map")
    h, w = grid
    if path == "columns":
        return tuple(r * w + c for c in range(w) for r in range(h))
    if path == "snake":
        return tuple(r * w + c for r in range(h) for c in (range(w) if r % 2 == 0 else range(w - 1, -1, -1)))
    if path == "local":
        return tuple(
            r * w + c
            for r0 in range(0, h, size)
            for c0 in range(0, w, size)
            for r in range(r0, min(r0 + size, h))
            for c in range(c0, min(c0 + size, w))
        )
    raise ValueError(f"no such order: {path}")
