"""Output widths."""

from __future__ import annotations

from dataclasses import replace

from archdsl.features import Feature
from archdsl.ops._base import ShapeError
from archdsl.ops._types import MAX_WIDTH
from archdsl.tape import Tensor, linear


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
            label=f"{width:,} channels",
            parameter=parameter,
            help=f"widths go from 1 to {MAX_WIDTH:,}",
        )
    return width


def with_dim(x: Feature, dim: int) -> Feature:
    """The same shape with `dim` channels."""
    return replace(x, dim=dim)


def carried_params(x: Feature, y: Feature) -> int:
    """Parameters of the linear map, bias included, that carries extra tokens past an operator on maps.

    There is one only where there are extra tokens and the width changes.
    """
    return x.dim * y.dim + y.dim if x.extras and x.dim != y.dim else 0


def carried_macs(x: Feature, y: Feature) -> int:
    """Multiply-accumulates of that linear map."""
    return (x.tokens - x.patches) * x.dim * y.dim if x.dim != y.dim else 0


def carried_tokens(extras: tuple[Tensor, ...], dim: int) -> tuple[Tensor, ...]:
    """Extra tokens without numbers, through that linear map, or unchanged."""
    return tuple(e if e.shape[2] == dim else linear(e.contiguous(), dim) for e in extras)
