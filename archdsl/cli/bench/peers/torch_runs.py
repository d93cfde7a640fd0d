"""The selective scan in PyTorch alone as fast as we could make it: one operation for each step.

Exponentials, products and outputs are formed for a run of steps at once, in buffers that stay in the cache;
the states of a run take the place of its products. The exponential is that of base 2, the faster one of
PyTorch on the CPU. The backward is written out: it computes the states of each run again from its start.

Shapes: b images, l steps, d channels, n states; (k, b, n, d) in a run of k steps, channels last.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.cli.bench.peers.peer import Peer, Ready, never_missing
from archdsl.cli.bench.problems import Problem
from archdsl.kernels.selective_scan import Gradients

LOG2E = math.log2(math.e)
RUN_ELEMENTS = 2**17
"""Numbers in one (k, b, n, d) buffer: two of them stay in a core's cache."""


class Sequence(NamedTuple):
    """One scan, channels last, in the order of reading."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool = True


class Run(NamedTuple):
    """The factors of a run's steps: decay (k, b, n, d), and its states, products before the recurrence."""

    a: Tensor
    h: Tensor


class Steps:
    """What the whole sequence has, steps in front, with room for one run."""

    def __init__(self, x: Sequence) -> None:
        batch, length, channels = x.u.shape
        states = x.A.shape[1]
        self.u_lbd = x.u.transpose(0, 1).float()
        raw = x.delta.float() if x.delta_bias is None else x.delta.float() + x.delta_bias
        self.raw_lbd = raw.transpose(0, 1)
        self.dt_lbd = F.softplus(self.raw_lbd) if x.delta_softplus else self.raw_lbd
        self.du_lbd = self.dt_lbd * self.u_lbd
        self.B_lbn = x.B.transpose(0, 1).float()
        self.C_lbn = x.C.transpose(0, 1).float()
        self.A_nd = x.A.float().t().contiguous()
        self.rates_nd = self.A_nd * LOG2E
        k = max(1, min(length, RUN_ELEMENTS // (batch * channels * states)))
        self.runs = list(pairwise([*range(0, length, k), length]))
        self.room = self.u_lbd.new_empty(3, k, batch, states, channels)

    def start(self) -> Tensor:
        """The state before the first step."""
        return torch.zeros_like(self.room[0, 0])

    def run(self, first: int, last: int, h_bnd: Tensor) -> Run:
        """The run's states, from the one before it."""
        size = last - first
        a = torch.mul(self.dt_lbd[first:last].unsqueeze(2), self.rates_nd, out=self.room[0, :size]).exp2_()
        du, B = self.du_lbd[first:last].unsqueeze(2), self.B_lbn[first:last].unsqueeze(3)
        h = torch.mul(du, B, out=self.room[1, :size])
        for decay, state in zip(a.unbind(), h.unbind(), strict=True):
            h_bnd = state.addcmul_(decay, h_bnd)
        return Run(a, h)

    def output(self, first: int, last: int, h: Tensor, y_lbd: Tensor) -> None:
        """C.h of the run, into its rows of y."""
        C, y = self.C_lbn[first:last].unsqueeze(2), y_lbd[first:last].unsqueeze(2)
        if C.shape[-1] == 1:
            torch.mul(C, h, out=y)
        else:
            torch.matmul(C, h, out=y)


@torch.no_grad()
def forward(x: Sequence) -> Tensor:
    """y (b, l, d) in the type of u."""
    steps = Steps(x)
    y_lbd = torch.empty_like(steps.u_lbd, memory_format=torch.contiguous_format)
    h_bnd = steps.start()
    for first, last in steps.runs:
        h = steps.run(first, last, h_bnd).h
        h_bnd = h[-1].clone()
        steps.output(first, last, h, y_lbd)
    if x.D is not None:
        y_lbd.addcmul_(x.D, steps.u_lbd)
    if x.z is not None:
        y_lbd.mul_(F.silu(x.z.transpose(0, 1).float()))
    return y_lbd.transpose(0, 1).to(x.u.dtype)


@torch.no_grad()
def backward(dout: Tensor, x: Sequence) -> Gradients:
    """The gradients; None where an input was None."""
    steps = Steps(x)
    starts = [steps.start()]
    for first, last in steps.runs[:-1]:
        starts.append(steps.run(first, last, starts[-1]).h[-1].clone())
    dy_lbd = dout.transpose(0, 1).float()
    y_lbd = torch.empty_like(steps.u_lbd, memory_format=torch.contiguous_format)
    through_lbd, decay_lbd = torch.empty_like(y_lbd), torch.empty_like(y_lbd)
    dB_lbn, dC_lbn = torch.empty_like(steps.B_lbn), torch.empty_like(steps.C_lbn)
    dA_nd = torch.zeros_like(steps.A_nd)
    dz = None
    if x.z is not None:
        z_lbd = x.z.transpose(0, 1).float()
        share = torch.sigmoid(z_lbd)
        dout_lbd, dy_lbd = dy_lbd, dy_lbd * z_lbd * share
    carried = steps.start()
    for (first, last), before in zip(reversed(steps.runs), reversed(starts), strict=True):
        a, h = steps.run(first, last, before)
        steps.output(first, last, h, y_lbd)
        dy = dy_lbd[first:last]
        torch.matmul(h, dy.unsqueeze(3), out=dC_lbn[first:last].unsqueeze(3))
        size = last - first
        g = torch.mul(steps.C_lbn[first:last].unsqueeze(3), dy.unsqueeze(2), out=steps.room[2, :size])
        g[-1] += carried
        decays, changes = a.unbind(), g.unbind()
        for t in range(size - 2, -1, -1):
            changes[t].addcmul_(decays[t + 1], changes[t + 1])
        torch.matmul(g, steps.du_lbd[first:last].unsqueeze(3), out=dB_lbn[first:last].unsqueeze(3))
        B = steps.B_lbn[first:last].unsqueeze(2)
        torch.matmul(B, g, out=through_lbd[first:last].unsqueeze(2))
        decayed = a.mul_(g)
        carried = decayed[0].clone()
        decayed[1:] *= h[:-1]
        decayed[0] *= before
        torch.sum(torch.mul(decayed, steps.A_nd, out=h), 2, out=decay_lbd[first:last])
        dA_nd += decayed.mul_(steps.dt_lbd[first:last].unsqueeze(2)).sum((0, 1))
    du_lbd = steps.dt_lbd * through_lbd
    dD = None
    if x.D is not None:
        y_lbd.addcmul_(x.D, steps.u_lbd)
        du_lbd.addcmul_(x.D, dy_lbd)
        dD = (dy_lbd * steps.u_lbd).sum((0, 1))
    if x.z is not None:
        dz = (dout_lbd * y_lbd * share * (1 + z_lbd * (1 - share))).transpose(0, 1).to(x.z.dtype)
    ddelta_lbd = decay_lbd.addcmul_(steps.u_lbd, through_lbd)
    if x.delta_softplus:
        ddelta_lbd.mul_(torch.sigmoid(steps.raw_lbd))
    dbias = None if x.delta_bias is None else ddelta_lbd.sum((0, 1))
    du, ddelta, dB, dC = (
        g.transpose(0, 1).to(v.dtype)
        for g, v in ((du_lbd, x.u), (ddelta_lbd, x.delta), (dB_lbn, x.B), (dC_lbn, x.C))
    )
    return Gradients(du, ddelta, dA_nd.t(), dB, dC, dD, dz, dbias)


def runs_peer() -> Peer:
    """Forward, and backward by hand."""

    def prepare(problem: Problem) -> Ready:
        u, delta, A, B, C, D, z, bias = problem.arguments
        x = Sequence(u, delta, A, B, C, D, z, bias)

        def both() -> tuple[Tensor, ...]:
            forward(x)
            return tuple(g for g in backward(problem.dout, x) if g is not None)

        return Ready(lambda: forward(x), both)

    what = "one operation a step, the rest for runs of steps that fit the cache; backward by hand, (b, l, d)"
    return Peer("torch loop in runs", what, never_missing, prepare)
