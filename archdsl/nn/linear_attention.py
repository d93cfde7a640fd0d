"""Linear attention, and the rotation of queries and keys by their place on a map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archdsl.nn.stream import Stream, StreamModule, put_together

EPS = 1e-6
BASE = 10_000.0


class LinearAttention(StreamModule):
    """Multi-head linear attention, see `archdsl.ops.linear_attention`.

    Args:
        dim: C.
        heads: divides C.
        key_dim: channels of q and k for each head.
        project: whether v is a linear map of the input, or the input itself.
        normalize: whether the sum is divided by q mean(k).
        rope: whether q and k of the numerator are rotated.
        lepe: whether a depthwise convolution of v is added.
        qkv_bias: whether the projections have one.
    """

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        key_dim: int,
        project: bool = False,
        normalize: bool = True,
        rope: bool = False,
        lepe: bool = False,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.key_dim = key_dim
        self.normalize = normalize
        self.rope = rope
        self.qk = nn.Linear(dim, 2 * heads * key_dim, bias=qkv_bias)
        self.v = nn.Linear(dim, dim, bias=qkv_bias) if project else nn.Identity()
        self.lepe = nn.Conv2d(dim, dim, 3, padding=1, groups=dim) if lepe else None

    def forward(self, s: Stream) -> Stream:
        """Every token's mixture of the values."""
        batch, tokens, dim = s.x.shape
        qk = F.elu(self.qk(s.x)) + 1
        v = self.v(s.x)
        q, k = self._parted(qk)
        turned_q, turned_k = self._parted(self._rotated(s.with_x(qk))) if self.rope else (q, k)
        v_heads = v.view(batch, tokens, self.heads, dim // self.heads).transpose(1, 2)
        y = turned_q @ ((turned_k / max(tokens, 1)).transpose(-1, -2) @ v_heads)
        if self.normalize:
            y = y / (q @ k.mean(-2).unsqueeze(-1) + EPS)
        y = y.transpose(1, 2).flatten(2)
        return s.with_x(y if self.lepe is None else y + self._local(self.lepe, s.with_x(v)))

    def _parted(self, qk: Tensor) -> tuple[Tensor, Tensor]:
        """q and k (B, heads, T, key_dim) from (B, T, 2 heads key_dim)."""
        q, k = qk.view(*qk.shape[:2], 2, self.heads, self.key_dim).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k

    def _rotated(self, s: Stream) -> Tensor:
        """q and k with the patches' channels rotated, (B, T, 2 heads key_dim)."""
        patches, extras = s.take_apart()
        on_map = patches.reshape(patches.shape[0], *s.grid, 2, self.heads * self.key_dim)
        return put_together(rotate(on_map).reshape(patches.shape), extras, s.grid, s.extras).x

    def _local(self, lepe: nn.Conv2d, s: Stream) -> Tensor:
        """The convolution of the patches (B, T, C), 0 at the extra tokens."""
        extras = s.take_apart()[1]
        local = lepe(s.to_map()).flatten(2).transpose(1, 2)
        return put_together(local, tuple(torch.zeros_like(e) for e in extras), s.grid, s.extras).x


def rotate(x: Tensor) -> Tensor:
    """Rotates pairs of channels by angles that grow with the place on the map.

    Pair k of the first half of the channels turns by row * 10000^(-k/K), pair k of the second half by
    column * 10000^(-k/K), with K = C / 4 (MILA, arXiv 2405.16605). Computed in float32 at least.

    Args:
        x: (B, H, W, n, C), C a multiple of 4.
    """
    height, width, channels = x.shape[1], x.shape[2], x.shape[-1]
    count = channels // 4
    dtype = torch.promote_types(x.dtype, torch.float32)
    steps = BASE ** (-torch.arange(count, dtype=dtype, device=x.device) / count)
    rows = torch.arange(height, dtype=dtype, device=x.device)[:, None, None, None] * steps
    columns = torch.arange(width, dtype=dtype, device=x.device)[:, None, None] * steps
    angle = torch.cat([part.expand(height, width, 1, count) for part in (rows, columns)], dim=-1)
    cos, sin = angle.cos(), angle.sin()
    a, b = x.to(dtype).view(*x.shape[:-1], 2 * count, 2).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).view(x.shape).to(x.dtype)
