"""What the Triton kernels of the selective scan share: reading order, addresses, steps of a tile, functions.

Conventions. A program is one warp that owns CHANNELS channels of one image and one route, and walks along
the steps; its state is (N, CHANNELS) with N a power of two. In that shape, with 32 channels, a thread holds
all N numbers of its channel: sums over N cost no exchange between threads. Sequences are read in tiles
(STEPS, CHANNELS), many loads under way at once and softplus and gate for the whole tile; the recurrence then
takes one row of the tile after the other (`row_of`, which costs nothing where a thread holds all rows).
B and C are read step by step: they are the same for all channels, so they come from the L1 cache.

That a thread holds whole columns of a tile is Triton's default; it gives that up for what it takes for wide
loads. So kernels declare the pointers to sequences, and the stride of A along N, as not to be specialised.

A step t counts in reading order. Route k reads row first + sign * t, or paths[k, first + sign * t].
"""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def reading_order(
    reverse_bits: tl.tensor, route: tl.tensor, length: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """The row of step 0 and the sign of a step (1, or -1 from the end); bit k of `reverse_bits`: route k."""
    reverse = (reverse_bits >> route) & 1
    return reverse * (length - 1), 1 - 2 * reverse


@triton.jit
def row_offsets(
    t: tl.tensor,
    steps: tl.tensor,
    stride: tl.tensor,
    first: tl.tensor,
    sign: tl.tensor,
    length: tl.tensor,
    path_ptr: tl.tensor,
    PATHS: tl.constexpr,
) -> tl.tensor:
    """Offsets (int64) of the rows of steps t + `steps` (a number or a tensor), `stride` elements apart.

    Args:
        path_ptr: this route's path (length), read where PATHS.
    """
    if PATHS:
        rows = tl.load(path_ptr + (first + sign * (t + steps)), mask=t + steps < length, other=0)
        return rows * stride
    return (first + sign * (t + steps)).to(tl.int64) * stride


@triton.jit
def row_of(tile: tl.tensor, steps: tl.tensor, k: tl.constexpr) -> tl.tensor:
    """Row k (CHANNELS) of a float32 tile (STEPS, CHANNELS), bit by bit; `steps` is arange(STEPS)."""
    bits = tile.to(tl.int32, bitcast=True)
    return tl.sum(tl.where((steps == k)[:, None], bits, 0), axis=0).to(tl.float32, bitcast=True)


@triton.jit
def step_of(
    tile: tl.tensor, steps: tl.tensor, k: tl.constexpr, from_end: tl.tensor, IN_MEMORY_ORDER: tl.constexpr
) -> tl.tensor:
    """Step k (CHANNELS) of a tile in reading order, or in memory order, the other way round `from_end`."""
    row = row_of(tile, steps, k)
    if IN_MEMORY_ORDER:
        row = tl.where(from_end, row_of(tile, steps, tile.shape[0] - 1 - k), row)
    return row


@triton.jit
def as_step(
    row: tl.tensor, steps: tl.tensor, k: tl.constexpr, from_end: tl.tensor, IN_MEMORY_ORDER: tl.constexpr
) -> tl.tensor:
    """The tile (STEPS, CHANNELS) that has `row` as its step k, see `step_of`, and else 0."""
    if IN_MEMORY_ORDER:
        before = tl.where(from_end, 0.0, row)
        behind = tl.where(from_end, row, 0.0)
        other = steps.shape[0] - 1 - k
        return tl.where((steps == k)[:, None], before[None, :], 0.0) + tl.where(
            (steps == other)[:, None], behind[None, :], 0.0
        )
    return tl.where((steps == k)[:, None], row[None, :], 0.0)


@triton.jit
def sequence(
    base: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    IN_MEMORY_ORDER: tl.constexpr,
) -> tl.tensor:
    """Pointers to a tile from the offsets of its rows and columns.

    IN_MEMORY_ORDER: that steps follow each other in memory and start at 16 bytes, so that a thread takes
    all steps of its channel at once.
    """
    at = base + rows[:, None] + columns[None, :]
    if IN_MEMORY_ORDER:
        at = tl.max_contiguous(tl.multiple_of(at, (16, 1)), (rows.shape[0], 1))
    return at


@triton.jit
def within(
    t: tl.tensor, steps: tl.tensor, end: tl.tensor, known: tl.tensor, IN_MEMORY_ORDER: tl.constexpr
) -> tl.tensor:
    """Mask (STEPS, CHANNELS) of the steps of tile t before `end`, of the channels `known`.

    IN_MEMORY_ORDER: that a tile ends where the sequence does, so that all its steps are or none is.
    """
    if IN_MEMORY_ORDER:
        return (t + 0 * steps < end)[:, None] & known[None, :]
    return (t + steps < end)[:, None] & known[None, :]


@triton.jit
def load_vector(base: tl.tensor, n: tl.tensor, mask: tl.tensor, ALIGNED: tl.constexpr) -> tl.tensor:
    """N numbers as float32, 0 where not `mask`; all threads read them all. ALIGNED: to how many bytes."""
    return tl.load(tl.multiple_of(base + n, ALIGNED), mask=mask, other=0.0).to(tl.float32)


@triton.jit
def decay(delta: tl.tensor, A_log2: tl.tensor, POLYNOMIAL: tl.constexpr) -> tl.tensor:
    """exp(delta A) (N, CHANNELS) from delta (CHANNELS) and A log2(e) (N, CHANNELS).

    With POLYNOMIAL on the units for products and sums, which have time to spare where the unit for
    exponentials is what limits: 2^f of the fraction by a polynomial (relative error 8e-8), 2^i as
    bits of the exponent.
    """
    x = delta[None, :] * A_log2
    if POLYNOMIAL:
        x = tl.clamp(x, -126.0, 127.0, propagate_nan=tl.PropagateNan.ALL)
        whole = tl.floor(x + 0.5)
        f = x - whole
        p = 0.0013266970388992694 * f + 0.00967545974565782
        p = p * f + 0.05550742615994166
        p = p * f + 0.24022121753557893
        p = p * f + 0.6931469491610696
        p = p * f + 1.0000000710297021
        return p * ((whole.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)
    return tl.exp2(x)


@triton.jit
def softplus(x: tl.tensor) -> tl.tensor:
    """log(1 + exp(x)) as max(x, 0) + 2 artanh(e / (2 + e)), e = exp(-|x|): relative error 1e-6 at worst.

    From x = 17 on it is x in float32. artanh(s) / s by a polynomial in s^2 <= 1/9 (relative error 4e-9).
    """
    e = tl.exp2(-tl.abs(x) * LOG2_E)
    s = e / (2.0 + e)
    q = s * s
    p = 0.14080726891441742 * q + 0.13982172348570465
    p = p * q + 0.20012325667285327
    p = p * q + 0.33333160203192497
    p = p * q + 1.0000000038619892
    return tl.maximum(x, 0.0) + 2.0 * s * p


@triton.jit
def sigmoid(x: tl.tensor) -> tl.tensor:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + tl.exp2(-x * LOG2_E))


@triton.jit
def step_sizes(delta: tl.tensor, bias: tl.tensor, inside: tl.tensor, SOFTPLUS: tl.constexpr) -> tl.tensor:
    """The step sizes (STEPS, CHANNELS) from what was read; 0, which changes no state, where not `inside`.

    Args:
        delta: as read, of any type.
        bias: (CHANNELS), 0 where there is none.
    """
    raw = delta.to(tl.float32) + bias[None, :]
    return tl.where(inside, softplus(raw) if SOFTPLUS else raw, 0.0)
