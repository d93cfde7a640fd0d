"""Output widths."""

from __future__ import annotations

from dataclasses import replace

from archdsl.features import Feature
from archdsl.ops._base import ShapeError
from archdsl.ops._types import MAX_WIDTH


def resolve_width(out: int | str, x: Feature, parameter: str = "out") -> int:
    """The number of output channels, bounded.

    Raises:
        ShapeError: E310 where it is not from 1 to `MAX_WIDTH`.
    """
    width = x.dim if out == "same" else int(out)
    if not 1 <= width <= MAX_WIDTH:
        raise ShapeError(
            "E310",
            "a width is out of bounds",
            label=f"{width} channels",
            parameter=parameter,
            help=f"widths go from 1 to {MAX_WIDTH}",
        )
    return width


def with_dim(x: Feature, dim: int) -> Feature:
    """The same shape with `dim` channels."""
    return replace(x, dim=dim)
