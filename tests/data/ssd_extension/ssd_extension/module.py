"""The module of `ssd`, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Ssd(nn.Module):
    """Tokens (B, T, E) to tokens (B, T, E).

    Args:
        dim: E.
        heads: divides E.
        state: numbers in the state of each channel.
    """

    def __init__(self, dim: int, heads: int, state: int) -> None:
        super().__init__()
        self.heads = heads
        self.widths = [state, state, heads]
        self.proj = nn.Linear(dim, 2 * state + heads, bias=False)
        self.A_log = nn.Parameter(torch.zeros(heads))
        self.D = nn.Parameter(torch.ones(heads))
        self.dt_bias = nn.Parameter(torch.zeros(heads))

    def forward(self, x: Tensor) -> Tensor:
        """y = (decay * C B^T) (dt x) + D x for every head.

        The decay from step s to step t is exp(a (dt_{s+1} + ... + dt_t)).
        """
        batch, tokens, dim = x.shape
        B, C, dt = self.proj(x).split(self.widths, dim=-1)
        dt = functional.softplus(dt + self.dt_bias)
        reached = (-torch.exp(self.A_log) * dt).cumsum(1).transpose(1, 2)
        decay = reached[:, :, :, None] - reached[:, :, None, :]
        ahead = torch.ones(tokens, tokens, dtype=torch.bool, device=x.device).triu(1)
        weights = decay.masked_fill(ahead, float("-inf")).exp() * (C @ B.transpose(1, 2))[:, None]
        heads = x.reshape(batch, tokens, self.heads, dim // self.heads)
        y = (weights @ (heads * dt[..., None]).transpose(1, 2)).transpose(1, 2) + self.D[:, None] * heads
        return y.reshape(batch, tokens, dim)
