"""The inside of a Mamba mixer as the formula says it, in plain PyTorch; its gradients are those of autograd.

For every route, in its order of reading (Gu and Dao, arXiv 2312.00752, section 3.4 and algorithm 2; both
directions: Vim, arXiv 2401.09417, algorithm 1; paths: VMamba, arXiv 2401.10166, section 4.3):

    u = silu(conv(x))                       u = x without a convolution
    dt, B, C = x_proj u
    y = scan(u, softplus(dt_proj dt + dt_bias), -exp(A_log), B, C) + D u

The routes' y, each back in the places of the image, are added or averaged, then multiplied by silu(z).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.kernels.mamba_inner.inputs import Inputs


def mamba_inner(x: Inputs) -> Tensor:
    """The result (b, l, e), every step of the recurrence on its own."""
    total = torch.stack([_route(x, k) for k in range(x.routes)]).sum(0)
    y = total / x.routes if x.mean else total
    return y if x.z is None else y * F.silu(x.z)


def _route(x: Inputs, k: int) -> Tensor:
    u, rows = x.x, torch.arange(x.x.shape[1], device=x.x.device)
    rows = rows if x.paths is None else x.paths[k]
    rows = rows.flip(0) if x.reverse[k] else rows
    u = u[:, rows]
    if x.conv is not None:
        around = (x.conv[k].shape[-1] - 1 - x.behind, x.behind)
        bias = x.conv_bias[k] if x.conv_bias is not None else None
        u = F.silu(F.conv1d(F.pad(u.mT, around), x.conv[k], bias, groups=x.channels)).mT
    dt, B, C = torch.split(F.linear(u, x.x_proj[k]), [x.rank, x.state, x.state], dim=-1)
    delta = F.softplus(F.linear(dt, x.dt_proj[k]) + x.dt_bias_times * x.dt_bias[k])
    A = -torch.exp(x.A_log[k])
    h = torch.zeros_like(A).expand(u.shape[0], *A.shape)
    steps = []
    for t in range(u.shape[1]):
        decay, step = torch.exp(delta[:, t, :, None] * A), delta[:, t, :, None] * B[:, t, None, :]
        h = decay * h + step * u[:, t, :, None]
        steps.append((h * C[:, t, None, :]).sum(-1) + x.D[k] * u[:, t])
    return torch.stack(steps, dim=1)[:, rows.argsort()]
