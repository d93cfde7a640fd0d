"""Mamba's selective scan with its projections."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archdsl.kernels.ladder import Choice
from archdsl.kernels.selective_scan import LADDER, Call, selective_scan

DT_MIN, DT_MAX, DT_FLOOR = 0.001, 0.1, 1e-4
"""Range of the step sizes at the start, and their floor (arXiv 2312.00752, section 3.6)."""


class RunsScans:
    """What a module has beside `nn.Module` if the kernels of the selective scan do its work.

    Attributes:
        backend: the kernel, `auto` for the fastest that serves.
    """

    backend: str = "auto"

    def call(self, x: Tensor) -> Call | None:
        """The call of the kernel for tokens like `x` (B, T, C); None where the module makes none."""
        raise NotImplementedError

    def choice(self, x: Tensor) -> Choice[Any, Any] | None:
        """The kernel that serves tokens like `x`, and those passed over; None where none is called.

        Raises:
            ValueError: where `backend` can't serve them.
        """
        call = self.call(x)
        return None if call is None else LADDER.explain(call, self.backend)

    def kernel(self, x: Tensor) -> str | None:
        """The name of the kernel that serves tokens like `x`, see `choice`."""
        choice = self.choice(x)
        return None if choice is None else choice.name


class StepSizes(nn.Linear):
    """The linear map to step sizes, before the softplus, with Mamba's initial values.

    Step sizes are log-uniform in [0.001, 0.1] where the input is 0.
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws the initial values."""
        if self.weight.is_meta:
            return
        bound = self.in_features**-0.5
        nn.init.uniform_(self.weight, -bound, bound)
        low, high = math.log(DT_MIN), math.log(DT_MAX)
        dt = torch.rand_like(self.bias).mul_(high - low).add_(low).exp_().clamp_(min=DT_FLOOR)
        self.bias.copy_(dt + torch.log(-torch.expm1(-dt)))


@torch.no_grad()
def reset_decay(log: Tensor) -> None:
    """Mamba's initial values of A_log (C, S): A = -1 ... -S in every row."""
    if not log.is_meta:
        steps = torch.arange(1, log.shape[1] + 1, dtype=log.dtype, device=log.device)
        log.copy_(steps.log().expand(log.shape))


def decay_rates(log: Tensor) -> Tensor:
    """A = -exp(A_log) (C, S), in float32 at least."""
    return -torch.exp(log.to(torch.promote_types(log.dtype, torch.float32)))


class SelectiveScan(RunsScans, nn.Module):
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
        self.dt_proj = StepSizes(dt_rank, dim)
        self.A_log = nn.Parameter(torch.empty(dim, state))
        self.D = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Mamba's initial values: A = -1 ... -S, D = 1, step sizes log-uniform in [0.001, 0.1] at x = 0."""
        if self.A_log.is_meta:
            return
        self.x_proj.reset_parameters()
        self.dt_proj.reset_parameters()
        reset_decay(self.A_log)
        nn.init.ones_(self.D)

    def call(self, x: Tensor) -> Call:
        """The whole scan is one."""
        batch, tokens, dim = x.shape
        return Call(x.device.type, x.dtype, batch, tokens, dim, self.A_log.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        """The scan's output."""
        dt, B, C = self.x_proj(x).split(self.widths, dim=-1)
        return selective_scan(
            x,
            F.linear(dt, self.dt_proj.weight, self.dt_proj.bias if self.bias_in_projection else None),
            decay_rates(self.A_log),
            B,
            C,
            self.D,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
            direction=self.direction,
            backend=self.backend,
        )
