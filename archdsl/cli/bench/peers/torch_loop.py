"""The selective scan as a loop of PyTorch, as one would write it with some care.

    delta_t <- softplus(delta_t + bias)
    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t
    y_t = (C_t . h_t + D u_t) silu(z_t)

Shapes: b images, l steps, d channels, n states; the state is (b, n, d), channels last.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.cli.bench.peers.peer import Peer, Ready, never_missing
from archdsl.cli.bench.peers.torch_runs import Sequence
from archdsl.cli.bench.problems import Problem


@torch.no_grad()
def forward(x: Sequence) -> Tensor:
    """y (b, l, d) in the type of u, step by step, after what can be formed for the whole sequence at once.

    Everything of a step fits the cache; states are updated in place, rows of the output written in place.
    """
    u_lbd = x.u.transpose(0, 1).float()
    raw = x.delta.float() if x.delta_bias is None else x.delta.float() + x.delta_bias
    dt_lbd = F.softplus(raw.transpose(0, 1)) if x.delta_softplus else raw.transpose(0, 1)
    h_bnd = dt_lbd.new_zeros(x.u.shape[0], x.A.shape[1], x.u.shape[2])
    y_lbd = torch.empty_like(u_lbd, memory_format=torch.contiguous_format)
    A_nd = x.A.float().t().contiguous()
    du_lbnd = (dt_lbd * u_lbd).unsqueeze(2)
    B_lbn1, C_lb1n = x.B.transpose(0, 1).float().unsqueeze(-1), x.C.transpose(0, 1).float().unsqueeze(2)
    a_bnd, x_bnd = torch.empty_like(h_bnd), torch.empty_like(h_bnd)
    rows = zip(dt_lbd.unsqueeze(2), du_lbnd, B_lbn1, C_lb1n, y_lbd.unsqueeze(2), strict=True)
    for dt, du, b, c, y in rows:
        torch.mul(dt, A_nd, out=a_bnd).exp_()
        torch.mul(du, b, out=x_bnd)
        h_bnd.mul_(a_bnd).add_(x_bnd)
        torch.matmul(c, h_bnd, out=y)
    if x.D is not None:
        y_lbd.addcmul_(x.D, u_lbd)
    if x.z is not None:
        y_lbd.mul_(F.silu(x.z.transpose(0, 1).float()))
    return y_lbd.transpose(0, 1).to(x.u.dtype)


def differentiable(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor
) -> Tensor:
    """The loop that autograd can follow in linear time: nothing in place, nothing indexed inside of it."""
    u_lbd, z_lbd = u.transpose(0, 1).float(), z.transpose(0, 1).float()
    dt_lbd = F.softplus((delta.float() + bias).transpose(0, 1))
    a_lbnd = torch.exp(dt_lbd.unsqueeze(2) * A.float().t())
    x_lbnd = (dt_lbd * u_lbd).unsqueeze(2) * B.transpose(0, 1).float().unsqueeze(-1)
    h_bnd = x_lbnd.new_zeros(x_lbnd.shape[1:])
    states = []
    for a, x in zip(a_lbnd.unbind(), x_lbnd.unbind(), strict=True):
        h_bnd = torch.addcmul(x, a, h_bnd)
        states.append(h_bnd)
    y_lbd = torch.matmul(C.transpose(0, 1).float().unsqueeze(2), torch.stack(states)).squeeze(2)
    return (torch.addcmul(y_lbd, D, u_lbd) * F.silu(z_lbd)).transpose(0, 1).to(u.dtype)


def loop_peer() -> Peer:
    """Step by step; the backward by autograd through the loop that it can follow."""

    def prepare(problem: Problem) -> Ready:
        u, delta, A, B, C, D, z, bias = problem.arguments
        x = Sequence(u, delta, A, B, C, D, z, bias)
        return Ready(lambda: forward(x), _both(problem))

    what = "six operations a step, in place, products of the whole sequence first, (b, l, d)"
    return Peer("torch loop", what, never_missing, prepare)


def _both(problem: Problem) -> Callable[[], tuple[Tensor, ...]]:
    leaves = tuple(v.detach().clone().requires_grad_() for v in problem.arguments)
    return lambda: torch.autograd.grad(differentiable(*leaves), leaves, problem.dout)
