"""Scan orders: in which sequence the tokens of a grid are read."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Order(NamedTuple):
    """One route through a grid.

    Args:
        path: `rows`; `columns`; `snake`, rows of which every second is read backwards; `snake_columns`, the
            same of columns; `local`, window by window, rows of windows and rows in them; `local_columns`,
            columns of windows and columns in them.
        reverse: read the whole sequence, extra tokens and zero slots included, from its end.
        size: side of the windows of `local` and `local_columns`.
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

    @property
    def text(self) -> str:
        """The route as the language writes it.

        >>> Order("local_columns", True, 7).text
        'reverse(local(7, columns))'
        """
        name, _, way = self.path.partition("_")
        inside = [str(self.size)] if self.size else []
        inside += [way] if way else []
        text = f"{name}({', '.join(inside)})" if inside else name
        return f"reverse({text})" if self.reverse else text


def visited_grid(path: str, size: int, grid: tuple[int, int]) -> tuple[int, int]:
    """The map with the zero slots that a path visits beside it, at the bottom and the right.

    >>> visited_grid("local", 2, (3, 4))
    (4, 4)

    Args:
        path: as in `Order`; only `local` and `local_columns` add slots, where their windows do not divide
            the map.
        size: side of those windows.
        grid: (height, width) of the map.
    """
    if not path.startswith("local"):
        return grid
    height, width = grid
    return (-(-height // size) * size, -(-width // size) * size)


@lru_cache(maxsize=1024)
def permutation(path: str, size: int, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major indices of the patches in the order in which `path` visits them; -1 for a zero slot.

    >>> permutation("snake", 0, (2, 3))
    (0, 1, 2, 5, 4, 3)
    >>> permutation("local", 2, (2, 3))
    (0, 1, 3, 4, 2, -1, 5, -1)

    Args:
        path: as in `Order`; a list of tokens without places (a one-dimensional grid) knows `rows` only.
        size: side of the windows of `local`.
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
        raise ValueError(f"the order `{Order(path, size=size).text}` needs a map")
    h, w = grid
    if path.endswith("columns") and path != "columns":
        turned = permutation(path.removesuffix("_columns"), size, (w, h))
        return tuple(-1 if t < 0 else t % h * w + t // h for t in turned)
    if path == "columns":
        return tuple(r * w + c for c in range(w) for r in range(h))
    if path == "snake":
        return tuple(r * w + c for r in range(h) for c in (range(w) if r % 2 == 0 else range(w - 1, -1, -1)))
    if path == "local":
        return tuple(
            r * w + c if r < h and c < w else -1
            for r0 in range(0, h, size)
            for c0 in range(0, w, size)
            for r in range(r0, r0 + size)
            for c in range(c0, c0 + size)
        )
    raise ValueError(f"no such order: {path}")
