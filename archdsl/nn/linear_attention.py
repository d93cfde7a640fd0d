"""Linear attention, and the rotation of queries and keys by their place on a map."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archdsl.kernels.selective_scan import Call, selective_scan
from archdsl.nn.selective_scan import RunsScans, StepSizes, decay_rates, reset_decay
from archdsl.nn.stream import Stream, StreamModule, put_together

EPS = 1e-6
BASE = 10_000.0
SMALLEST_STEP = 1e-20
"""Below, a forget gate without an input gate takes v for 0; nothing is forgotten there."""

Step = tuple[Tensor, Tensor]
"""W2 W1 x (B, T, C) and b (C): the step before it is added up and goes through softplus."""


def _shifted_elu(x: Tensor) -> Tensor:
    return F.elu(x) + 1


def _identity(x: Tensor) -> Tensor:
    return x


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": _shifted_elu,
    "relu": F.relu,
    "identity": _identity,
}
"""What makes features of q and k, by the names of the language."""


class LinearAttention(RunsScans, StreamModule):
    """Multi-head linear attention, see `archdsl.ops.linear_attention`.

    Sums along the sequence are a selective scan with C = q, B = k, u = v; each head is a route of it, because
    the channels of a route have B and C in common.

    Args:
        dim: C.
        heads: divides C.
        key_dim: channels of q and k for each head.
        project: whether v is a linear map of the input, or the input itself.
        normalize: whether the sum is divided by q mean(k), or q Z.
        rope: whether q and k of the numerator are rotated.
        lepe: whether a depthwise convolution of v is added.
        qkv_bias: whether the projections have one.
        kernel: features of q and k: `elu`, `relu` or `identity`.
        causal: whether tokens see only those before them, and themselves; needed by `forget_gate`.
        input_gate: whether v is multiplied by the step.
        forget_gate: whether the state decays.
        shortcut: whether the input times D is added.
        gate_rank: width between the two linears of the step; 0 without gates.
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
        kernel: str = "elu",
        causal: bool = False,
        input_gate: bool = False,
        forget_gate: bool = False,
        shortcut: bool = False,
        gate_rank: int = 0,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.key_dim = key_dim
        self.normalize = normalize
        self.rope = rope
        self.phi = FEATURES[kernel]
        self.causal = causal
        self.input_gate = input_gate
        self.qk = nn.Linear(dim, 2 * heads * key_dim, bias=qkv_bias)
        self.v = nn.Linear(dim, dim, bias=qkv_bias) if project else nn.Identity()
        self.lepe = nn.Conv2d(dim, dim, 3, padding=1, groups=dim) if lepe else None
        gated = input_gate or forget_gate
        self.gate_in = nn.Linear(dim, gate_rank, bias=False) if gated else None
        self.gate_out = StepSizes(gate_rank, dim) if gated else None
        self.A_log = nn.Parameter(torch.empty(dim, key_dim)) if forget_gate else None
        self.D = nn.Parameter(torch.empty(dim)) if shortcut else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initial values of what is no module's: A = -1 ... -key_dim and D = 1, as in a selective scan."""
        if self.A_log is not None:
            reset_decay(self.A_log)
        if self.D is not None:
            nn.init.ones_(self.D)

    def call(self, x: Tensor) -> Call | None:
        """With the heads as routes; None where the sums are over all tokens."""
        if not self.causal:
            return None
        batch, tokens, dim = x.shape
        dtype = x.dtype if self._scans_as_it_is else _wide(x.dtype)
        width = dim // self.heads
        return Call(x.device.type, dtype, batch, tokens, width, self.key_dim, routes=self.heads)

    def forward(self, s: Stream) -> Stream:
        """Every token's mixture of the values."""
        qk = self.phi(self.qk(s.x))
        v = self.v(s.x)
        q, k = self._parted(qk)
        turned = self._parted(self._rotated(s.with_x(qk))) if self.rope else (q, k)
        step = None
        if self.gate_in is not None and self.gate_out is not None:
            step = F.linear(self.gate_in(s.x), self.gate_out.weight), self.gate_out.bias
        y = (self._along if self.causal else self._over_all)(*turned, v, step)
        if self.normalize:
            y = (self._by_head(y) / self._weights(q, k)).flatten(2).to(y.dtype)
        if self.D is not None:
            y = y + self.D * s.x
        return s.with_x(y if self.lepe is None else y + self._local(self.lepe, s.with_x(v)))

    def _over_all(self, q: Tensor, k: Tensor, v: Tensor, step: Step | None) -> Tensor:
        """q (k^T v / T), (B, T, C)."""
        if step is not None:
            v = v * F.softplus(step[0] + step[1])
        q, k, v = (part.transpose(1, 2) for part in (q, k, self._by_head(v)))
        return (q @ ((k / max(k.shape[2], 1)).transpose(-1, -2) @ v)).transpose(1, 2).flatten(2)

    def _along(self, q: Tensor, k: Tensor, v: Tensor, step: Step | None) -> Tensor:
        """q_i S_i for every token i, (B, T, C)."""
        delta, bias = (torch.ones_like(v), None) if step is None else step
        inside = step is not None and self.input_gate
        u = v
        if bias is not None and not self._scans_as_it_is:
            delta, bias = F.softplus(delta.to(_wide(v.dtype)) + bias), None
            u = v / delta.clamp(min=SMALLEST_STEP)
        A = delta.new_zeros(v.shape[2], self.key_dim) if self.A_log is None else decay_rates(self.A_log)
        u, delta = (self._by_head(part).permute(2, 0, 1, 3) for part in (u, delta))
        y = selective_scan(
            u,
            delta,
            A.view(self.heads, -1, self.key_dim),
            k.permute(2, 0, 1, 3),
            q.permute(2, 0, 1, 3),
            delta_bias=None if bias is None else bias.view(self.heads, -1),
            delta_softplus=inside,
            backend=self.backend,
        )
        return y.permute(1, 2, 0, 3).flatten(2).to(v.dtype)

    @property
    def _scans_as_it_is(self) -> bool:
        """Whether a step of the kernel, which multiplies u as well, is the step meant here.

        A forget gate alone is not: there u is v / step, in float32 at least, because its gradient and that of
        the step cancel.
        """
        return self.input_gate or self.A_log is None

    def _weights(self, q: Tensor, k: Tensor) -> Tensor:
        """What every head's sum is divided by, (B, T, heads, 1)."""
        if not self.causal:
            return q.transpose(1, 2).matmul(k.mean(1).unsqueeze(-1)).transpose(1, 2) + EPS
        return (q * k.cumsum(1, dtype=_wide(k.dtype))).sum(-1, keepdim=True) + EPS

    def _by_head(self, v: Tensor) -> Tensor:
        """(B, T, heads, C / heads) from (B, T, C)."""
        return v.view(*v.shape[:2], self.heads, v.shape[2] // self.heads)

    def _parted(self, qk: Tensor) -> tuple[Tensor, Tensor]:
        """q and k (B, T, heads, key_dim) from (B, T, 2 heads key_dim)."""
        q, k = qk.view(*qk.shape[:2], 2, self.heads, self.key_dim).unbind(2)
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
    dtype = _wide(x.dtype)
    steps = BASE ** (-torch.arange(count, dtype=dtype, device=x.device) / count)
    rows = torch.arange(height, dtype=dtype, device=x.device)[:, None, None, None] * steps
    columns = torch.arange(width, dtype=dtype, device=x.device)[:, None, None] * steps
    angle = torch.cat([part.expand(height, width, 1, count) for part in (rows, columns)], dim=-1)
    cos, sin = angle.cos(), angle.sin()
    a, b = x.to(dtype).view(*x.shape[:-1], 2 * count, 2).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).view(x.shape).to(x.dtype)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The type itself, float32 for half precision."""
    return torch.promote_types(dtype, torch.float32)
