"""Every scan order written as a list: what the indices of `archdsl.nn.routed` are held to."""

from __future__ import annotations

from math import prod

from archdsl.features import Order


def permutation(path: str, size: int, grid: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major indices of the patches in the order in which `path` visits them; -1 for a zero slot.

    Args:
        path: as in `Order`; a list of tokens without places (a one-dimensional grid) knows `rows` only.
        size: side of the windows of `local`.
        grid: (height, width) or (tokens,).

    Raises:
        ValueError: for a path that needs a map on something that is none.
    """
    if path == "rows":
        return tuple(range(prod(grid)))
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
