"""What operators ask of the places of their tokens."""

from __future__ import annotations

from archdsl.features import Extra, Feature
from archdsl.ops._base import ShapeError
from archdsl.tape import Flow, joined, parameter


def need_map(x: Feature, what: str) -> tuple[int, int]:
    """(height, width) of the map.

    Args:
        what: the operator with its article, for the message ("a convolution").

    Raises:
        ShapeError: E304 where `x` is none.
    """
    if not x.is_map:
        raise ShapeError(
            "E304",
            f"{what} needs a map",
            label=f"receives {x}",
            help="put it where the patches lie on a grid",
        )
    height, width = x.grid
    return height, width


def need_tokens(x: Feature, what: str) -> None:
    """Nothing but the check.

    Raises:
        ShapeError: E304 where `x` is a single vector.
    """
    if not x.grid:
        raise ShapeError(
            "E304",
            f"{what} needs tokens",
            label=f"receives {x}",
            help="put it before the pooling",
        )


def need_no_extra(x: Feature, kind: str) -> None:
    """Nothing but the check.

    Raises:
        ShapeError: E305 where the sequence has extra tokens of that kind.
    """
    for extra in x.extras:
        if extra.kind == kind:
            raise ShapeError(
                "E305",
                f"`{kind}` stands there twice",
                label=f"receives {x}",
                help=f"keep one `{kind}` and give it all tokens; `take({kind})` chooses them",
            )


def need_extra(x: Feature, kind: str, write: str, parameter: str) -> int:
    """How many extra tokens of that kind there are.

    Args:
        write: the operator to add to the stem, as it is written.
        parameter: the one at fault.

    Raises:
        ShapeError: E305 where there are none.
    """
    for extra in x.extras:
        if extra.kind == kind:
            return extra.count
    raise ShapeError(
        "E305",
        f"there is no {kind.replace('_', ' ').removesuffix('s')} to take",
        label=f"receives {x}",
        parameter=parameter,
        help=f"add `-> {write}` to the stem",
    )


def need_division(dim: int, by: int, message: str, parameter: str | None = None, help: str = "") -> int:
    """dim / by.

    Raises:
        ShapeError: E306 where that is no whole number.
    """
    if dim % by:
        raise ShapeError(
            "E306",
            message,
            label=f"{by} does not divide {dim}",
            parameter=parameter,
            help=help or f"make the width a multiple of {by}",
        )
    return dim // by


def with_tokens(s: Flow, extra: Extra) -> Flow:
    """The sequence with learned tokens put into it: a copy that keeps nothing."""
    patches, extras = s.take_apart()
    tokens = parameter(s.x, 1, extra.count, s.x.shape[2]).expand(patches.shape[0], -1, -1)
    return joined(patches, (*extras, tokens), s.grid, (*s.extras, extra))
