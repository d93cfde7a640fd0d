"""Runs the backward of the Triton scan under TRITON_INTERPRET=1 and prints how far it is off, as JSON.

`{case: {gradient: error}}`, see `archdsl.kernels.proof.difference`. A script: Triton decides at its import
whether it interprets.
"""

from __future__ import annotations

import json
import sys
from typing import NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.proof import difference
from archdsl.kernels.selective_scan import reference
from archdsl.kernels.selective_scan.inputs import Gradients, Inputs, empty
from archdsl.kernels.selective_scan.triton import backward as triton_backward
from archdsl.kernels.selective_scan.triton import forward as triton_forward


class Case(NamedTuple):
    """One scan; `chunks` is the length of a segment in chunks, 0 for what the table says.

    `images` is how many go in a launch, 0 likewise. `spoiled`: the last number of u is no number.
    """

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
    chunks: int = 0
    images: int = 0
    spoiled: bool = False


CASES = {
    "plain": Case(1, 37, 20, 3),
    "from the end": Case(1, 37, 5, 6, (True,)),
    "split": Case(1, 70, 17, 4, (True,), chunks=1),
    "split along paths": Case(1, 35, 3, 2, (False, True), merge="mean", paths=True, chunks=1),
    "along paths, steps last": Case(2, 33, 5, 2, (True,), layout="bdl", paths=True),
    "add, bare": Case(1, 35, 5, 3, (True, False), merge="add", full=False),
    "three routes, steps last": Case(1, 9, 3, 3, (True, False, True), merge="mean", layout="bdl"),
    "one route, added": Case(1, 9, 3, 3, merge="add"),
    "launch after launch": Case(3, 9, 3, 2, (True, False), merge="mean", images=2),
    "shared sequence": Case(1, 34, 7, 3, (False, True), shared=True),
    "one step": Case(1, 1, 1, 1),
    "one state": Case(1, 33, 40, 1),
    "full blocks": Case(1, 32, 32, 16),
    "not a number": Case(1, 35, 3, 3, spoiled=True),
    "bfloat16": Case(1, 34, 9, 5, (True,), torch.bfloat16),
    "bfloat16, merged": Case(1, 34, 9, 5, (False, True), torch.bfloat16, merge="mean"),
    "float16": Case(1, 34, 9, 5, (True,), torch.float16),
}


def drawn(case: Case) -> tuple[Inputs, Tensor]:
    """Inputs that are slices of larger tensors, and the gradient of the output."""
    draw = torch.Generator().manual_seed(sum(case[:4]))
    routes = len(case.reverse)
    images = (case.batch, case.length, case.channels)
    out = images if case.merge != "none" else (routes, *images)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw)

    def sequence(*size: int) -> Tensor:
        wide = (*size[:-2], size[-2] + 2, size[-1] + 3)
        room = empty(wide, case.dtype, case.layout, torch.empty(0))
        return room[..., : size[-2], : size[-1]].copy_(normal(*size))

    def projected() -> Tensor:
        return normal(routes, *images[:2], 2 * case.state).to(case.dtype)[..., : case.state]

    x = Inputs(
        sequence(1 if case.shared else routes, *images).expand(routes, *images),
        sequence(routes, *images) - 1 if case.full else sequence(routes, *images).abs() / 2,
        -normal(routes, case.channels, case.state).exp(),
        projected(),
        projected(),
        normal(routes, case.channels) if case.full else None,
        sequence(*out) if case.full else None,
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
    if case.spoiled:
        x.u[-1, -1, -1, -1] = float("nan")
    return x, sequence(*out)


def exact(x: Inputs) -> Inputs:
    """The same in float64."""
    return Inputs(*(v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in x))


def planned(case: Case, x: Inputs, dout: Tensor, states: Tensor, ungated: Tensor) -> Gradients:
    """The gradients, with the segments of the case."""
    if not case.chunks and not case.images:
        return triton_backward.backward(dout, x, states, ungated)
    plan = triton_backward.plan_of(x)
    plan = plan._replace(chunks=case.chunks or plan.chunks, images=case.images or plan.images)
    return triton_backward.gradients(dout, x, states, ungated, plan)


def errors(found: Gradients, wanted: Gradients, x: Inputs) -> dict[str, float]:
    """Differences by name; infinite where shape, type or memory order is not that of the input."""
    result = {}
    for name, mine, theirs in zip(Gradients._fields, found, wanted, strict=True):
        given = getattr(x, name)
        if mine is None or theirs is None or given is None:
            result[name] = 0.0 if mine is None and theirs is None and given is None else float("inf")
            continue
        fits = mine.shape == given.shape and mine.dtype == given.dtype
        ordered = x.layout == "bld" or mine.ndim < 3 or name in "ABC" or mine.stride(-2) == 1
        result[name] = difference(mine, theirs) if fits and ordered else float("inf")
    return result


def measured(case: Case) -> dict[str, float]:
    """The errors of one case, against the reference in float64."""
    x, dout = drawn(case)
    x64 = exact(x)
    saved = reference.forward(x, True)
    saved64 = reference.forward(x64, True)
    wanted = reference.backward(dout.double(), x64, saved64.states, saved64.ungated)
    return errors(planned(case, x, dout, saved.states, saved.ungated), wanted, x)


def crossed() -> dict[str, dict[str, float]]:
    """The forward of one kernel with the backward of the other; and the same backward twice."""
    case = Case(1, 33, 6, 3, (True,))
    x, dout = drawn(case)
    x64 = exact(x)
    saved64 = reference.forward(x64, True)
    wanted = reference.backward(dout.double(), x64, saved64.states, saved64.ungated)
    mine, theirs = triton_forward.forward(x, True), reference.forward(x, True)
    first = planned(case, x, dout, theirs.states, theirs.ungated)
    second = planned(case, x, dout, theirs.states, theirs.ungated)
    same = all(
        torch.equal(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None
    )
    return {
        "triton forward, triton backward": errors(
            planned(case, x, dout, mine.states, mine.ungated), wanted, x
        ),
        "triton forward, reference backward": errors(
            reference.backward(dout, x, mine.states, mine.ungated), wanted, x
        ),
        "reference forward, triton backward": errors(first, wanted, x),
        "twice": {"difference": 0.0 if same else float("inf")},
    }


if __name__ == "__main__":
    found = {name: measured(case) for name, case in CASES.items()}
    json.dump(found | crossed(), sys.stdout)
