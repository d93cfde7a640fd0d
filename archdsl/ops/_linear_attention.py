"""What the module of `linear_attention` keeps, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archdsl.tape import (
    Flow,
    Tensor,
    add,
    conv2d,
    decay_rates,
    div,
    fresh,
    joined,
    linear,
    matmul,
    mul,
    parameter,
    reduced,
    relu,
    scaled,
    selective_scan,
    stack,
    unary,
    zeros,
)

if TYPE_CHECKING:
    from archdsl.ops.linear_attention import LinearAttention


def trace(op: LinearAttention, s: Flow, key_dim: int, rank: int) -> Flow:
    """The forward of `archdsl.nn.linear_attention` without numbers.

    Args:
        op: the operator.
        s: what goes in.
        key_dim: channels of q and k for each head.
        rank: of the gate, 0 without one.
    """
    x, heads = s.x, op.heads
    qk = _features(op.kernel, linear(x, 2 * heads * key_dim, op.qkv_bias))
    v = linear(x, x.shape[2], op.qkv_bias) if op.value == "project" else x
    q = _parted(qk, heads, key_dim)
    turned = _parted(_rotated(s.with_x(qk), heads * key_dim), heads, key_dim) if op.rope else q
    step = linear(linear(x, rank, bias=False), x.shape[2], bias=False) if rank else None
    causal = op.causal or op.forget_gate
    y = _along(op, turned, v, step) if causal else _over_all(heads, turned, v, step)
    if op.normalize:
        y = div(_by_head(y, heads), _weights(q, causal)).flatten(2)
    if op.shortcut:
        y = add(y, mul(parameter(x, x.shape[2]), x))
    return s.with_x(add(y, _local(s.with_x(v))) if op.lepe else y)


def _features(kernel: str, x: Tensor) -> Tensor:
    if kernel == "identity":
        return x
    return relu(x) if kernel == "relu" else scaled(unary(x))


def _over_all(heads: int, q: Tensor, v: Tensor, step: Tensor | None) -> Tensor:
    """q (k^T v / T); k lies as q does."""
    if step is not None:
        v = mul(v, unary(add(step, parameter(v, v.shape[2]))))
    q, v = q.transpose(1, 2), _by_head(v, heads).transpose(1, 2)
    return matmul(q, matmul(scaled(q).transpose(2, 3), v)).transpose(1, 2).flatten(2)


def _along(op: LinearAttention, q: Tensor, v: Tensor, step: Tensor | None) -> Tensor:
    """Sums along the sequence, as a scan whose routes are the heads."""
    heads, channels, key_dim = op.heads, v.shape[2], q.shape[3]
    delta = fresh(v.shape, v, gradient=False) if step is None else step
    u = v
    if step is not None and not op.input_gate:
        delta = unary(add(step, parameter(v, channels)))
        u = div(v, unary(delta))
    A = decay_rates(v, channels, key_dim) if op.forget_gate else zeros(v, channels, key_dim)
    u, delta = (_by_head(part, heads).permute(2, 0, 1, 3) for part in (u, delta))
    k = q.permute(2, 0, 1, 3)
    y = selective_scan(u, delta, A.reshape(heads, -1, key_dim), k, k)
    return y.permute(1, 2, 0, 3).flatten(2)


def _weights(q: Tensor, causal: bool) -> Tensor:
    """What every head's sum is divided by (B, T, heads, 1); k lies as q does."""
    if causal:
        return scaled(reduced(mul(q, scaled(q)), 3))
    mean = reduced(q, 1).select(1).unsqueeze(-1)
    return scaled(matmul(q.transpose(1, 2), mean).transpose(1, 2))


def _by_head(v: Tensor, heads: int) -> Tensor:
    return v.reshape(*v.shape[:2], heads, v.shape[2] // heads)


def _parted(qk: Tensor, heads: int, key_dim: int) -> Tensor:
    """q, or k, a view of both."""
    return qk.reshape(*qk.shape[:2], 2, heads, key_dim).select(2)


def _rotated(s: Flow, keys: int) -> Tensor:
    """The patches' channels rotated; the sines and cosines are kept."""
    patches, extras = s.take_apart()
    batch, count, channels = patches.shape
    on_map = patches.reshape(batch, *s.grid, 2, keys)
    half = on_map.reshape(*on_map.shape[:-1], keys // 2, 2).select(5)
    cos, sin = (zeros(s.x, *s.grid, 1, keys // 2) for _ in range(2))
    one = add(mul(half, cos), mul(half, sin))
    other = add(mul(half, sin), mul(half, cos))
    rotated = stack([one, other], -1).reshape(batch, count, channels)
    return joined(rotated, extras, s.grid, s.extras).x


def _local(s: Flow) -> Tensor:
    """The convolution of the patches, 0 at the extra tokens."""
    extras = s.take_apart()[1]
    image = conv2d(s.map_and_extras()[0], s.x.shape[2], (3, 3), padding=1)
    local = image.flatten(2).transpose(1, 2)
    return joined(local, tuple(zeros(e, *e.shape, grows=True) for e in extras), s.grid, s.extras).x
