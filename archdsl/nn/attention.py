"""Softmax attention among all tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archdsl.features import Extra
from archdsl.nn.stream import Stream, StreamModule, put_together


class Attention(StreamModule):
    """Multi-head attention; tokens of different regions do not see each other.

    Args:
        dim: D.
        heads: divides D.
        causal: whether a token sees only those before it in the sequence, and itself.
        grid, extras: places that the table of relative positions is made for; None: no such table. On another
            map the table is resized bicubically.
        qkv_bias: whether the projection to q, k and v has one.
        qk_norm: layer norm of every head's q and k.
        eps: of that norm.
    """

    index: Tensor

    def __init__(
        self,
        *,
        dim: int,
        heads: int,
        causal: bool = False,
        grid: tuple[int, ...] | None = None,
        extras: tuple[Extra, ...] = (),
        qkv_bias: bool = True,
        qk_norm: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.grid = grid
        self.extras = extras
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.q_norm = nn.LayerNorm(dim // heads, eps=eps) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(dim // heads, eps=eps) if qk_norm else nn.Identity()
        self.proj = nn.Linear(dim, dim)
        self.relative_position: nn.Parameter | None = None
        if grid is not None:
            height, width = grid
            self.relative_position = nn.Parameter(torch.empty((2 * height - 1) * (2 * width - 1), heads))
            index = offset_index(grid, extras, torch.get_default_device())
            self.register_buffer("index", index, persistent=False)
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The table, truncated normal with deviation 0.02 (arXiv 2103.14030), and the indices into it."""
        if self.relative_position is not None and self.grid is not None:
            nn.init.trunc_normal_(self.relative_position, std=0.02)
            self.index.copy_(offset_index(self.grid, self.extras, self.index.device))

    def forward(self, s: Stream) -> Stream:
        """Every token's mixture of the values."""
        batch, tokens, dim = s.x.shape
        qkv = self.qkv(s.x).view(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        mask = self._mask(s)
        if mask is not None and mask.is_floating_point():
            mask = mask.to(q.dtype)
        causal = self.causal and mask is None
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return s.with_x(self.proj(y.transpose(1, 2).flatten(2)))

    def _mask(self, s: Stream) -> Tensor | None:
        """Who sees whom, or what the softmax has added: (B or 1, heads or 1, T, T); None for neither."""
        bias = self._bias(s)
        seen = None if s.regions is None else sees(s.regions)[:, None]
        if bias is None and seen is None:
            return None
        if self.causal:
            tokens = s.x.shape[1]
            before = torch.ones(tokens, tokens, dtype=torch.bool, device=s.x.device).tril()
            seen = before if seen is None else seen & before
        mask = bias if seen is None else seen if bias is None else torch.where(seen, bias, float("-inf"))
        if s.regions is not None and mask is not None:
            mask = mask.repeat(s.x.shape[0] // len(s.regions), 1, 1, 1)
        return mask

    def _bias(self, s: Stream) -> Tensor | None:
        """The numbers for every pair of tokens (heads, T, T)."""
        if self.relative_position is None or self.grid is None:
            return None
        table: Tensor = self.relative_position
        index = self.index
        if s.grid != self.grid or s.extras != self.extras:
            index = offset_index(s.grid, s.extras, table.device)
        if s.grid != self.grid:
            table = resized(table, self.grid, s.grid)
        return F.pad(table, (0, 0, 0, 1))[index].permute(2, 0, 1)


def sees(regions: Tensor) -> Tensor:
    """Which tokens see which, (windows, T, T), from regions (windows, T); -1 sees and is seen."""
    a, b = regions[:, :, None], regions[:, None, :]
    return (a == b) | (a < 0) | (b < 0)


def offset_index(grid: tuple[int, ...], extras: tuple[Extra, ...], device: torch.device) -> Tensor:
    """For every pair of tokens the row of the table of offsets (T, T); the row behind the last for extras."""
    height, width = grid
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    down = rows[:, None] - rows[None, :] + height - 1
    across = columns[:, None] - columns[None, :] + width - 1
    pairs = down[:, None, :, None] * (2 * width - 1) + across[None, :, None, :]
    patches = height * width
    pairs = pairs.reshape(patches, patches)
    if not extras:
        return pairs
    pairs = F.pad(pairs, (0, 1, 0, 1), value=(2 * height - 1) * (2 * width - 1))
    others = tuple(torch.full((1, e.count, 1), patches, device=device) for e in extras)
    token = put_together(torch.arange(patches, device=device)[None, :, None], others, grid, extras).x[0, :, 0]
    return pairs[token][:, token]


def resized(table: Tensor, grid: tuple[int, ...], to: tuple[int, ...]) -> Tensor:
    """The table of offsets on a map of another size."""
    old, new = [2 * n - 1 for n in grid], [2 * n - 1 for n in to]
    image = table.T.reshape(1, -1, *old)
    return F.interpolate(image, new, mode="bicubic", align_corners=False)[0].flatten(1).T
