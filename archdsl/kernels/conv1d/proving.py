"""What a kernel of the convolution has to get right before it serves.

The inputs are small and awkward: channels no multiple of a vector, both directions, permuted paths, taps
behind the current step, sequences shorter than the taps, tensors that are slices of larger ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.conv1d import reference
from archdsl.kernels.conv1d.inputs import Call, Inputs, Kernel, call_of
from archdsl.kernels.proof import TOLERANCE, Measured, WrongError, difference


class Shape(NamedTuple):
    """The inputs of one test; r is the number of entries of `reverse`."""

    reverse: tuple[bool, ...]
    batch: int
    length: int
    channels: int
    taps: int
    behind: int = 0
    silu: bool = True
    bias: bool = True
    common: bool = True
    paths: bool = False


SHAPES = (
    Shape((False, True), 2, 37, 67, 4),
    Shape((True, False), 1, 41, 16, 3, behind=1, bias=False, silu=False, common=False, paths=True),
    Shape((False, True, True), 2, 3, 7, 5, behind=2, paths=True),
)


def prove(kernel: Kernel, call: Call, supports: Callable[[Call], str | None]) -> Iterator[Measured]:
    """Compares a kernel with the reference in the type and on the device of a call.

    Raises:
        WrongError: for results of wrong shapes or types, and for inputs changed in place.
    """
    draw = torch.Generator().manual_seed(0)
    allowed = TOLERANCE[call.dtype]
    for shape in SHAPES:
        x = _inputs(shape, call, draw)
        if supports(call_of(x)) is not None:
            continue
        dout = _normal(draw, call, len(shape.reverse), shape.batch, shape.length, shape.channels)
        given = [v for v in (x.x, x.weight, x.bias, x.paths, dout) if v is not None]
        before = [v.clone() for v in given]
        exact = _exact(x)
        y, found = kernel.forward(x), kernel.backward(dout, x)
        if not all(map(torch.equal, given, before)):
            raise WrongError("it changes an input")
        _fits("y", y, dout)
        yield Measured("y", difference(y, reference.forward(exact)), allowed)
        wanted = reference.backward(dout.to("cpu", torch.float64), exact)
        for name, mine, theirs, like in zip(wanted._fields, found, wanted, x[:3], strict=True):
            if theirs is None:
                continue
            if mine is None:
                raise WrongError(f"there is no gradient of {name}")
            _fits(f"the gradient of {name}", mine, like)
            yield Measured(f"the gradient of {name}", difference(mine, theirs), allowed)


def typical(device: str, dtype: torch.dtype, layout: str) -> Call:
    """The convolution of both directions in a small model."""
    return Call(device, dtype, 2, 1, 197, 384, 4, False, layout)


def _normal(draw: torch.Generator, call: Call, *size: int) -> Tensor:
    return torch.randn(size, generator=draw, dtype=torch.float32, device="cpu").to(call.device, call.dtype)


def _inputs(shape: Shape, call: Call, draw: torch.Generator) -> Inputs:
    r, sequence = len(shape.reverse), (shape.batch, shape.length, shape.channels + 5)
    paths = torch.stack([torch.randperm(shape.length, generator=draw, device="cpu") for _ in range(r)])
    return Inputs(
        _normal(draw, call, *(sequence if shape.common else (r, *sequence)))[..., : shape.channels],
        _normal(draw, call, r, shape.channels, shape.taps),
        _normal(draw, call, r, shape.channels) if shape.bias else None,
        shape.behind,
        shape.silu,
        shape.reverse,
        paths.to(call.device) if shape.paths else None,
    )


def _exact(x: Inputs) -> Inputs:
    """The same numbers in float64 on the CPU."""
    numbers = (None if v is None else v.to("cpu", torch.float64, copy=True) for v in x[:3])
    return Inputs(*numbers, *x[3:6], None if x.paths is None else x.paths.cpu())  # type: ignore[arg-type, call-arg]


def _fits(what: str, found: Tensor, like: Tensor | None) -> None:
    assert like is not None
    if (found.shape, found.dtype, found.device) != (like.shape, like.dtype, like.device):
        raise WrongError(
            f"{what} is {tuple(found.shape)} {found.dtype} on {found.device}, "
            f"expected {tuple(like.shape)} {like.dtype} on {like.device}"
        )
