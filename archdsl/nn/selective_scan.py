"""Mamba's selective scan with its projections."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archdsl.kernels.selective_scan import call_of, chosen, selective_scan

DT_MIN, DT_MAX, DT_FLOOR = 0.001, 0.1, 1e-4
"""Range of the step sizes at the start, and their floor (arXiv 2312.00752, section 3.6)."""


class SelectiveScan(nn.Module):
    """Tokens (B, T, E) to tokens (B, T, E), in the order given.

    Args:
        dim: E.
        state: numbers in the state of each channel.
        dt_rank: width of the low-rank projection of the step sizes.
        dt_bias: `once` or `twice`, see `archdsl.ops.selective_scan`.
        direction: `forward`, or `backward` to read the tokens from the end.
        backend: the kernel, `auto` for the fastest that serves.
    """

    def __init__(
        self,
        *,
        dim: int,
        state: int,
        dt_rank: int,
        dt_bias: str = "once",
        direction: str = "forward",
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.widths = [dt_rank, state, state]
        self.bias_in_projection = dt_bias == "twice"
        self.direction = direction
        self.backend = backend
        self.x_proj = nn.Linear(dim, dt_rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(dt_rank, dim)
        self.A_log = nn.Parameter(torch.empty(dim, state))
        self.D = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Mamba's initial values: A = -1 ... -S, D = 1, step sizes log-uniform in [0.001, 0.1] at x = 0."""
        if self.A_log.is_meta:
            return
        dim, state = self.A_log.shape
        self.x_proj.reset_parameters()
        bound = self.dt_proj.in_features**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        low, high = math.log(DT_MIN), math.log(DT_MAX)
        dt = torch.rand_like(self.dt_proj.bias).mul_(high - low).add_(low).exp_().clamp_(min=DT_FLOOR)
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        steps = torch.arange(1, state + 1, dtype=self.A_log.dtype, device=self.A_log.device)
        self.A_log.copy_(steps.log().expand(dim, state))
        nn.init.ones_(self.D)

    def kernel(self, x: Tensor) -> str:
        """The name of the kernel that serves tokens like `x`."""
        return chosen(call_of(x, self.A_log), self.backend)

    def forward(self, x: Tensor) -> Tensor:
        """The scan's output."""
        dt, B, C = self.x_proj(x).split(self.widths, dim=-1)
        return selective_scan(
            x,
            F.linear(dt, self.dt_proj.weight, self.dt_proj.bias if self.bias_in_projection else None),
            -torch.exp(self.A_log.float()),
            B,
            C,
            self.D,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            direction=self.direction,
            backend=self.backend,
        )
