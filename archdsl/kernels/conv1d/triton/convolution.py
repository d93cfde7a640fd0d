"""The Triton kernels of the depthwise convolution: r routes, b images, l steps, d channels, TAPS taps.

All of them go over tiles (ROWS, CHANNELS). Steps t count in reading order; route k reads row
first + sign * t, or paths[k, first + sign * t]. Every tap reads its tile anew: neighbours are in the
L1 cache.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from archdsl.kernels.selective_scan.triton.tiles import reading_order, sigmoid


@triton.jit
def row_at(
    t: tl.tensor, first: tl.tensor, sign: tl.tensor, length: tl.tensor, path: tl.tensor, PATHS: tl.constexpr
) -> tl.tensor:
    """The rows (int64) of steps `t`; of steps outside the sequence any."""
    index = first + sign * t
    if PATHS:
        return tl.load(path + index, mask=(t >= 0) & (t < length), other=0)
    return index.to(tl.int64)


@triton.jit
def linear(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    path: tl.tensor,
    t: tl.tensor,
    c: tl.tensor,
    first: tl.tensor,
    sign: tl.tensor,
    length: tl.tensor,
    channels: tl.tensor,
    x_l: tl.tensor,
    TAPS: tl.constexpr,
    BEHIND: tl.constexpr,
    PATHS: tl.constexpr,
) -> tl.tensor:
    """The convolution before silu (ROWS, CHANNELS) in float32; x, weight, bias and path are of one route."""
    known = c < channels
    a = tl.zeros((t.shape[0], c.shape[0]), tl.float32)
    if bias is not None:
        a += tl.load(bias + c, mask=known, other=0.0).to(tl.float32)[None, :]
    for j in tl.range(TAPS, loop_unroll_factor=TAPS if TAPS <= 8 else 4):
        near = t + (j - (TAPS - 1 - BEHIND))
        rows = row_at(near, first, sign, length, path, PATHS) * x_l
        mask = ((near >= 0) & (near < length))[:, None] & known[None, :]
        tap = tl.load(x + rows[:, None] + c[None, :], mask=mask, other=0.0).to(tl.float32)
        a += tap * tl.load(weight + c * TAPS + j, mask=known, other=0.0).to(tl.float32)[None, :]
    return a


@triton.jit
def convolve(
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    paths: tl.tensor,
    y: tl.tensor,
    images: tl.tensor,
    length: tl.tensor,
    channels: tl.tensor,
    reverse_bits: tl.tensor,
    x_r: tl.tensor,
    x_b: tl.tensor,
    x_l: tl.tensor,
    TAPS: tl.constexpr,
    BEHIND: tl.constexpr,
    SILU: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """y (r, b, l, d), contiguous; programs: r x b x tiles of steps x blocks of channels.

    Args:
        bias, paths: None where there are none.
        x_r, x_b, x_l: strides of x along routes, images, steps.
    """
    blocks = tl.cdiv(channels, CHANNELS)
    tiles = tl.cdiv(length, ROWS)
    program = tl.program_id(0)
    c = (program % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    t = (program // blocks % tiles) * ROWS + tl.arange(0, ROWS)
    image = (program // blocks // tiles % images).to(tl.int64)
    route = program // blocks // tiles // images
    first, sign = reading_order(reverse_bits, route, length)
    route = route.to(tl.int64)
    path = paths
    if paths is not None:
        path += route * length
    shift = bias
    if bias is not None:
        shift += route * channels
    x += route * x_r + image * x_b
    weight += route * channels * TAPS
    a = linear(
        x, weight, shift, path, t, c, first, sign, length, channels, x_l, TAPS, BEHIND, paths is not None
    )
    if SILU:
        a *= sigmoid(a)
    rows = (route * images + image) * length + row_at(t, first, sign, length, path, paths is not None)
    mask = (t < length)[:, None] & (c < channels)[None, :]
    tl.store(y + rows[:, None] * channels + c[None, :], a.to(y.dtype.element_ty), mask=mask)


@triton.jit
def weigh(
    dout: tl.tensor,
    x: tl.tensor,
    weight: tl.tensor,
    bias: tl.tensor,
    paths: tl.tensor,
    da: tl.tensor,
    sums: tl.tensor,
    images: tl.tensor,
    length: tl.tensor,
    channels: tl.tensor,
    reverse_bits: tl.tensor,
    dout_r: tl.tensor,
    dout_b: tl.tensor,
    dout_l: tl.tensor,
    x_r: tl.tensor,
    x_b: tl.tensor,
    x_l: tl.tensor,
    TAPS: tl.constexpr,
    BEHIND: tl.constexpr,
    SILU: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """The gradient before silu, and its sums with what the taps read; programs as of `convolve`.

    Args:
        da: (r, b, l, d) in the order of reading, of the type of x.
        sums: (r, b, tiles, TAPS + 1, d) float32: for every tap, and last for the bias.
    """
    blocks = tl.cdiv(channels, CHANNELS)
    tiles = tl.cdiv(length, ROWS)
    program = tl.program_id(0)
    c = (program % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    t = (program // blocks % tiles) * ROWS + tl.arange(0, ROWS)
    image = (program // blocks // tiles % images).to(tl.int64)
    route = program // blocks // tiles // images
    first, sign = reading_order(reverse_bits, route, length)
    route = route.to(tl.int64)
    path = paths
    if paths is not None:
        path += route * length
    shift = bias
    if bias is not None:
        shift += route * channels
    x += route * x_r + image * x_b
    weight += route * channels * TAPS
    known = c < channels
    mask = (t < length)[:, None] & known[None, :]
    rows = row_at(t, first, sign, length, path, paths is not None) * dout_l
    dout += route * dout_r + image * dout_b
    found = tl.load(dout + rows[:, None] + c[None, :], mask=mask, other=0.0).to(tl.float32)
    if SILU:
        a = linear(
            x, weight, shift, path, t, c, first, sign, length, channels, x_l, TAPS, BEHIND, paths is not None
        )
        s = sigmoid(a)
        found *= s * (1.0 + a * (1.0 - s))
    rows = (route * images + image) * length + t
    tl.store(da + rows[:, None] * channels + c[None, :], found.to(da.dtype.element_ty), mask=mask)

    sums += (program // blocks).to(tl.int64) * (TAPS + 1) * channels
    tl.store(sums + TAPS * channels + c, tl.sum(found, axis=0), mask=known)
    for j in tl.range(TAPS, loop_unroll_factor=TAPS if TAPS <= 8 else 4):
        near = t + (j - (TAPS - 1 - BEHIND))
        rows = row_at(near, first, sign, length, path, paths is not None) * x_l
        inside = mask & ((near >= 0) & (near < length))[:, None]
        tap = tl.load(x + rows[:, None] + c[None, :], mask=inside, other=0.0).to(tl.float32)
        tl.store(sums + j * channels + c, tl.sum(tl.where(inside, found * tap, 0.0), axis=0), mask=known)


@triton.jit
def spread(
    da: tl.tensor,
    weight: tl.tensor,
    steps: tl.tensor,
    dx: tl.tensor,
    images: tl.tensor,
    length: tl.tensor,
    channels: tl.tensor,
    reverse_bits: tl.tensor,
    da_r: tl.tensor,
    READERS: tl.constexpr,
    TAPS: tl.constexpr,
    BEHIND: tl.constexpr,
    ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """The gradient of x, rows in order; programs: sequences x b x tiles of rows x blocks of channels.

    Args:
        da: (r, b, l, d) in the order of reading, `da_r` numbers for each route.
        steps: (r, l) where every row stands on the path of a route; None where there are no paths.
        dx: (sequences, b, l, d), contiguous.
        READERS: how many routes read one sequence; they are summed in order.
    """
    blocks = tl.cdiv(channels, CHANNELS)
    tiles = tl.cdiv(length, ROWS)
    program = tl.program_id(0)
    c = (program % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    rows = (program // blocks % tiles) * ROWS + tl.arange(0, ROWS)
    image = (program // blocks // tiles % images).to(tl.int64)
    sequence = program // blocks // tiles // images
    known = c < channels
    mask = (rows < length)[:, None] & known[None, :]
    total = tl.zeros((ROWS, CHANNELS), tl.float32)
    for reader in tl.static_range(READERS):
        route = sequence * READERS + reader
        first, sign = reading_order(reverse_bits, route, length)
        route = route.to(tl.int64)
        stands = rows
        if steps is not None:
            stands = tl.load(steps + route * length + rows, mask=rows < length, other=0).to(tl.int32)
        t = first + sign * stands
        base = da + route * da_r + image * length * channels
        for j in tl.range(TAPS, loop_unroll_factor=TAPS if TAPS <= 8 else 4):
            near = t - (j - (TAPS - 1 - BEHIND))
            inside = mask & ((near >= 0) & (near < length))[:, None]
            at = base + near.to(tl.int64)[:, None] * channels + c[None, :]
            part = tl.load(at, mask=inside, other=0.0).to(tl.float32)
            by = tl.load(weight + (route * channels + c) * TAPS + j, mask=known, other=0.0).to(tl.float32)
            total += part * by[None, :]
    at = ((sequence.to(tl.int64) * images + image) * length + rows)[:, None] * channels + c[None, :]
    tl.store(dx + at, total.to(dx.dtype.element_ty), mask=mask)
