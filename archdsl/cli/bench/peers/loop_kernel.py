"""Loops of PyTorch as kernels of the selective scan, to be put on its ladder for a comparison."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.cli.bench.peers import torch_loop, torch_runs
from archdsl.cli.bench.peers.torch_runs import Sequence
from archdsl.kernels.ladder import Candidate
from archdsl.kernels.selective_scan.inputs import (
    Call,
    Gradients,
    Inputs,
    Kernel,
    Outputs,
    empty,
    saved_states_shape,
)

STEPS, RUNS = "torch-loop", "torch-loop-in-runs"


def forward(x: Inputs, saves: bool, loop: Callable[[Sequence], Tensor]) -> Outputs:
    """Every route by itself, then the merge and the gate. What it keeps as states is not a number."""
    routes = [_back(x, k, loop(_route(x, k))) for k in range(len(x.reverse))]
    ungated = torch.stack(routes) if x.merge == "none" else sum(routes[1:], routes[0]) * x.share
    y = ungated if x.z is None else ungated * F.silu(x.z.float()).to(ungated.dtype)
    if not saves:
        return Outputs(_laid(y, x), x.u.new_empty(0, dtype=x.state_dtype), x.u.new_empty(0))
    states = x.u.new_full(saved_states_shape(x.u, x.A), float("nan"), dtype=x.state_dtype)
    return Outputs(_laid(y, x), states, x.u.new_empty(0) if x.z is None else _laid(ungated, x))


def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
    """The gradients of all inputs in runs, by what the forward kept of the gate."""
    dy, dz = dout.float(), None
    if x.z is not None:
        z = x.z.float()
        share = torch.sigmoid(z)
        dz = _laid((dy * ungated.float() * share * (1 + z * (1 - share))).to(x.z.dtype), x)
        dy = dy * z * share
    found = []
    for k in range(len(x.reverse)):
        of_route = dy[k] if x.merge == "none" else dy * x.share
        found.append(torch_runs.backward(_there(x, k, of_route), _route(x, k)))
    du, ddelta, dB, dC = (
        torch.stack([_back(x, k, g) for k, g in enumerate(routes)])
        for routes in zip(*((g.u, g.delta, g.B, g.C) for g in found), strict=True)
    )
    dA = torch.stack([g.A for g in found])
    dD, dbias = _stacked([g.D for g in found]), _stacked([g.delta_bias for g in found])
    return Gradients(_laid(du, x), _laid(ddelta, x), dA, dB, dC, dD, dz, dbias)


def _stacked(routes: list[Tensor | None]) -> Tensor | None:
    there = [g for g in routes if g is not None]
    return torch.stack(there) if there else None


def candidates() -> tuple[Candidate[Call, Kernel], ...]:
    """For `LADDER.with_candidates`; they serve where they are named. They have one backward, the faster."""
    return (_candidate(STEPS, torch_loop.forward), _candidate(RUNS, torch_runs.forward))


def _candidate(name: str, loop: Callable[[Sequence], Tensor]) -> Candidate[Call, Kernel]:
    def of_loop(x: Inputs, saves: bool) -> Outputs:
        return forward(x, saves, loop)

    return Candidate(
        name,
        available=lambda: None,
        supports=lambda call: "it computes in float32" if call.dtype == torch.float64 else None,
        load=lambda: Kernel(of_loop, backward),
        devices=("none",),
    )


def _route(x: Inputs, k: int) -> Sequence:
    """One route in the order of reading, without its gate."""
    u, delta, B, C = (_there(x, k, v[k]) for v in (x.u, x.delta, x.B, x.C))
    D, bias = (None if v is None else v[k] for v in (x.D, x.delta_bias))
    return Sequence(u, delta, x.A[k], B, C, D, None, bias, x.delta_softplus)


def _there(x: Inputs, k: int, v: Tensor) -> Tensor:
    """Rows (b, l, ...) in the order in which a route reads them."""
    v = v if x.paths is None else v.index_select(1, x.paths[k])
    return v.flip(1) if x.reverse[k] else v


def _back(x: Inputs, k: int, v: Tensor) -> Tensor:
    """The reverse of `_there`."""
    v = v.flip(1) if x.reverse[k] else v
    return v if x.paths is None else v.index_select(1, x.paths[k].argsort())


def _laid(v: Tensor, x: Inputs) -> Tensor:
    """In the memory order of the call."""
    return empty(tuple(v.shape), v.dtype, x.layout, v).copy_(v)
