"""Scan orders: in which sequence the tokens of a grid are read."""

from __future__ import annotations

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
