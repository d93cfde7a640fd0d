"""Runs the forward of the Triton scan under TRITON_INTERPRET=1 and prints how far it is off, as JSON.

`{case: {result: error}}`, see `archdsl.kernels.proof.difference`. A script: Triton decides at its import
whether it interprets.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.proof import difference
from archdsl.kernels.selective_scan import reference
from archdsl.kernels.selective_scan.inputs import Inputs, Outputs, empty
from archdsl.kernels.selective_scan.triton import forward as triton_forward

WRONG = float("inf")


class Case(NamedTuple):
    """One scan; `segment` is the length of a segment, None for what the table says."""

    batch: int
    length: int
    channels: int
    state: int
    reverse: tuple[bool, ...] = (False,)
    dtype: torch.dtype = torch.float32
    merge: str = "none"
    layout: str = "bld"
    paths: bool = False
    full: bool = True
    shared: bool = False
    segment: int | None = None


CASES = {
    "plain": Case(1, 37, 20, 3),
    "from the end, two images": Case(2, 18, 5, 6, (True,)),
    "two blocks of channels": Case(1, 9, 40, 4),
    "many states": Case(1, 9, 6, 70),
    "split": Case(1, 66, 5, 4, (True,), segment=32),
    "split along paths": Case(1, 35, 3, 2, (False, True), merge="mean", paths=True, segment=32),
    "split, steps last": Case(1, 36, 3, 2, (True, False), layout="bdl", segment=32),
    "mean along paths, steps last": Case(1, 33, 5, 2, (False, True), merge="mean", layout="bdl", paths=True),
    "steps last": Case(1, 20, 5, 3, (False, True), layout="bdl"),
    "steps last, no whole tiles": Case(1, 35, 5, 3, (False, True), layout="bdl", merge="add"),
    "add, bare": Case(1, 21, 5, 3, (True, False), merge="add", full=False),
    "one route, added": Case(1, 9, 3, 3, merge="add"),
    "shared sequence": Case(1, 18, 7, 3, (False, True), shared=True),
    "one step": Case(1, 1, 1, 1),
    "one state": Case(1, 33, 40, 1),
    "a block of everything": Case(1, 64, 64, 16),
    "bfloat16": Case(1, 34, 9, 5, (True,), torch.bfloat16),
    "bfloat16, merged": Case(1, 18, 9, 5, (False, True), torch.bfloat16, merge="mean"),
    "bfloat16, steps last": Case(1, 24, 9, 5, (False, True), torch.bfloat16, layout="bdl"),
    "float16": Case(1, 34, 9, 5, (True,), torch.float16),
}


def drawn(case: Case) -> Inputs:
    """Inputs that are slices of larger tensors."""
    draw = torch.Generator().manual_seed(sum(case[:4]))
    routes = len(case.reverse)
    images = (case.batch, case.length, case.channels)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw)

    def sequence(*size: int) -> Tensor:
        wide = (*size[:-2], size[-2] + 4, size[-1] + 3)
        room = empty(wide, case.dtype, case.layout, torch.empty(0))
        return room[..., : size[-2], : size[-1]].copy_(normal(*size))

    def projected() -> Tensor:
        return normal(routes, *images[:2], 2 * case.state).to(case.dtype)[..., case.state :]

    x = Inputs(
        sequence(1 if case.shared else routes, *images).expand(routes, *images),
        sequence(routes, *images) - 1 if case.full else sequence(routes, *images).abs() / 2,
        -normal(routes, case.channels, case.state).exp(),
        projected(),
        projected(),
        normal(routes, case.channels) if case.full else None,
        sequence(*(images if case.merge != "none" else (routes, *images))) if case.full else None,
        normal(routes, case.channels) if case.full else None,
        torch.stack([torch.randperm(case.length, generator=draw) for _ in case.reverse])
        if case.paths
        else None,
        case.full,
        case.reverse,
        case.merge,
        case.layout,
    )
    x.delta[0, 0, 0, 0] = 21.0 if case.full else 1.0
    return x


def exact(x: Inputs) -> Inputs:
    """The same in float64."""
    return Inputs(*(v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in x))


def planned(x: Inputs, saves: bool, segment: int | None) -> Outputs:
    """The outputs, with segments as given."""
    outputs, launches = triton_forward.plan(x, saves, segment)
    for launch in launches:
        launch.run()
    return outputs


def errors(found: Outputs, wanted: Outputs, x: Inputs) -> dict[str, float]:
    """Differences by name; infinite where shape, type or memory order are not the reference's."""
    types = Outputs(x.u.dtype, x.state_dtype, x.u.dtype)
    return {
        name: difference(mine, theirs)
        if mine.shape == theirs.shape and mine.stride() == theirs.stride() and mine.dtype == dtype
        else WRONG
        for name, mine, theirs, dtype in zip(Outputs._fields, found, wanted, types, strict=True)
        if mine.numel() or theirs.numel()
    }


def measured(case: Case) -> dict[str, float]:
    """The errors of one case against the reference in float64."""
    x = drawn(case)
    return errors(planned(x, True, case.segment), reference.forward(exact(x), True), x)


def unsaved() -> dict[str, float]:
    """The output where nothing is saved, which is then the same; and again, which changes nothing."""
    x = drawn(Case(1, 9, 5, 3, (False, True), merge="add"))
    saved, alone, again = planned(x, True, None), planned(x, False, None), planned(x, False, None)
    return {
        "y": 0.0 if torch.equal(alone.y, saved.y) else WRONG,
        "y again": 0.0 if torch.equal(alone.y, again.y) else WRONG,
        "saved": float(alone.states.numel() + alone.ungated.numel()),
    }


def polynomial() -> dict[str, float]:
    """With every other step's exponentials by polynomials."""
    x = drawn(Case(1, 37, 5, 3))
    triton_forward.POLYNOMIAL = 2
    found = planned(x, True, None)
    triton_forward.POLYNOMIAL = 0
    return errors(found, reference.forward(exact(x), True), x)


def awkward_numbers() -> dict[str, float]:
    """Not-a-number, infinity, growing states; step sizes far below and above what softplus bends."""
    x = drawn(Case(4, 20, 6, 3))
    assert x.z is not None
    for image, number in enumerate((float("nan"), float("inf"), 3e4, -40.0)):
        x.u[0, image, 7, 1] = x.delta[0, image, 3, 2] = x.z[0, image, 12, 4] = number
    x.A[0, 3] = torch.tensor([0.0, 0.5, 1.0])
    return {"y": difference(planned(x, False, None).y, reference.forward(exact(x), False).y)}


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="invalid value", category=RuntimeWarning)
    torch.use_deterministic_algorithms(True)  # fills what is not written with NaN
    found = {name: measured(case) for name, case in CASES.items()}
    found |= {"nothing saved": unsaved(), "polynomial": polynomial(), "awkward numbers": awkward_numbers()}
    json.dump(found, sys.stdout)
