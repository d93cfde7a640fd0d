"""Runs the depthwise convolution in Triton under TRITON_INTERPRET=1 and prints how far it is off, as JSON.

`{case: {result: error}}`, see `archdsl.kernels.proof.difference`. A script: Triton decides at its import
whether it interprets.
"""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.conv1d import Inputs, reference
from archdsl.kernels.conv1d.triton import load
from archdsl.kernels.proof import difference

WRONG = float("inf")


class Case(NamedTuple):
    """One convolution."""

    batch: int
    length: int
    channels: int
    taps: int
    behind: int = 0
    reverse: tuple[bool, ...] = (False,)
    dtype: torch.dtype = torch.float32
    silu: bool = True
    bias: bool = True
    common: bool = True
    paths: bool = False


CASES = {
    "causal": Case(2, 21, 20, 4),
    "from the end": Case(1, 21, 20, 4, reverse=(True,)),
    "two directions, taps behind": Case(1, 21, 7, 3, behind=1, reverse=(False, True)),
    "more than one tile": Case(1, 70, 140, 4, behind=1, reverse=(True, False)),
    "along paths": Case(2, 19, 5, 4, reverse=(False, True, True), paths=True),
    "a sequence for each route": Case(2, 19, 5, 5, 2, (False, True), common=False, paths=True),
    "bare": Case(1, 19, 5, 4, silu=False, bias=False),
    "one step": Case(1, 1, 1, 4, behind=1),
    "one tap": Case(1, 5, 3, 1),
    "many taps": Case(1, 9, 5, 11, behind=4, reverse=(False, True)),
    "bfloat16": Case(1, 19, 9, 4, reverse=(False, True), dtype=torch.bfloat16),
    "float16": Case(1, 19, 9, 4, reverse=(False, True), dtype=torch.float16),
}


def drawn(case: Case) -> tuple[Inputs, Tensor]:
    """Inputs that are slices of larger tensors, and the gradient of the result."""
    draw = torch.Generator().manual_seed(sum(case[:4]))
    routes, sequence = len(case.reverse), (case.batch, case.length, case.channels)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw).to(case.dtype)

    x = normal(*(() if case.common else (routes,)), *sequence[:2], case.channels + 3)
    paths = torch.stack([torch.randperm(case.length, generator=draw) for _ in case.reverse])
    given = Inputs(
        x[..., : case.channels],
        normal(routes, case.channels, case.taps),
        normal(routes, case.channels) if case.bias else None,
        case.behind,
        case.silu,
        case.reverse,
        paths if case.paths else None,
    )
    return given, normal(routes, *sequence[:2], case.channels + 2)[..., : case.channels]


def exact(x: Inputs) -> Inputs:
    """The same in float64."""
    return Inputs(*(v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in x))


def error(found: Tensor | None, wanted: Tensor | None, dtype: torch.dtype) -> float:
    """The difference; infinite where shape, type or order are not the reference's."""
    if found is None or wanted is None:
        return 0.0 if found is wanted else WRONG
    fits = found.shape == wanted.shape and found.dtype == dtype and found.is_contiguous()
    return difference(found, wanted) if fits else WRONG


def measured(case: Case) -> dict[str, float]:
    """The errors of one case; a second run has to give the same bits."""
    kernel = load()
    x, dout = drawn(case)
    x64 = exact(x)
    first, second = kernel.backward(dout, x), kernel.backward(dout, x)
    wanted = reference.backward(dout.double(), x64)
    errors = {"y": error(kernel.forward(x), reference.forward(x64), case.dtype)}
    for name, a, b, c in zip(first._fields, first, second, wanted, strict=True):
        errors[name] = error(a, c, case.dtype) if a is None or torch.equal(a, b) else WRONG  # type: ignore[arg-type]
    return errors


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)  # fills what is not written with NaN
    json.dump({name: measured(case) for name, case in CASES.items()}, sys.stdout)
