"""What a kernel of linear maps has to get right before it serves.

The inputs are small and awkward: one row, one input, one output, numbers no multiple of a vector, fewer
inputs than outputs and more, tensors that are slices of larger ones, turned or repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from archdsl.kernels.linear.inputs import Call, Kernel, Product
from archdsl.kernels.proof import TOLERANCE, Measured, WrongError, difference

SHAPES = ((37, 67, 19), (5, 12, 70), (130, 33, 1), (1, 48, 16), (3, 1, 8))
"""Rows, inputs, outputs."""


def prove(kernel: Kernel, call: Call, supports: Callable[[Call], str | None]) -> Iterator[Measured]:
    """Compares a kernel with the formula, in the type and on the device of a call.

    Raises:
        WrongError: for results of wrong shapes or types, and for inputs changed in place.
    """
    draw = torch.Generator().manual_seed(0)
    allowed = TOLERANCE[call.dtype]
    for m, k, n in SHAPES:
        bias = _normal(draw, call, n)
        for x, weight, dout in (
            (_normal(draw, call, m, k), _normal(draw, call, n, k), _normal(draw, call, m, n)),
            (
                _normal(draw, call, m, k + 3)[:, 2 : k + 2],
                _normal(draw, call, k, n).T,
                _normal(draw, call, 1, n).expand(m, n),
            ),
        ):
            given = (x, weight, bias, dout)
            before = [v.clone() for v in given]
            start = _normal(draw, call, m, k)
            found = (
                kernel.forward(x, weight, bias),
                kernel.forward(x, weight, None, x.new_empty(m, n)),
                kernel.by_input(dout, weight),
                kernel.by_input(dout, weight, start.clone()),
                kernel.by_weight(dout, x),
            )
            if not all(map(torch.equal, given, before)):
                raise WrongError("it changes an input")
            exact_x, exact_weight, exact_bias, exact_dout = (v.to("cpu", torch.float64) for v in given)
            y, dx = exact_x @ exact_weight.T, exact_dout @ exact_weight
            exact = {
                "y": y + exact_bias,
                "y without bias": y,
                "the gradient of x": dx,
                "the sum with the gradient of x": dx + start.to("cpu", torch.float64),
                "the gradient of the weight": exact_dout.T @ exact_x,
            }
            for (what, wanted), mine in zip(exact.items(), found, strict=True):
                if (mine.shape, mine.dtype, mine.device) != (wanted.shape, x.dtype, x.device):
                    raise WrongError(f"{what} is {tuple(mine.shape)} {mine.dtype} on {mine.device}")
                yield Measured(what, difference(mine, wanted), allowed)


def typical(device: str, dtype: torch.dtype, layout: str) -> Call:
    """The first projection of a small Mamba mixer."""
    return Call(device, dtype, Product.FORWARD, 197, 192, 768, torch.get_num_threads(), layout=layout)


def _normal(draw: torch.Generator, call: Call, *size: int) -> Tensor:
    return torch.randn(size, generator=draw, dtype=torch.float32, device="cpu").to(call.device, call.dtype)
