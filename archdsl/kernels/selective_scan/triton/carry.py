"""The backward of a scan whose steps are split into segments: what a segment hands to the one before it.

The gradient of the state is a linear recurrence too: what arrives from behind a segment leaves it multiplied
by exp(A sum of delta), plus what the segment itself contributes.
"""

# mypy: disable-error-code="untyped-decorator, no-any-return"

from __future__ import annotations

import triton
import triton.language as tl

from archdsl.kernels.selective_scan.triton.tiles import LOG2_E, reading_order, row_offsets, sigmoid, softplus


@triton.jit
def carry_of_segments(
    dout: tl.tensor,
    delta: tl.tensor,
    C: tl.tensor,
    z: tl.tensor,
    A: tl.tensor,
    bias: tl.tensor,
    paths: tl.tensor,
    local: tl.tensor,
    passed: tl.tensor,
    dout_strides: tl.tuple,
    delta_strides: tl.tuple,
    C_strides: tl.tuple,
    z_strides: tl.tuple,
    sizes: tl.tuple,
    chunks_per_segment: tl.tensor,
    segments: tl.tensor,
    reverse_bits: tl.tensor,
    share: tl.tensor,
    HAS_BIAS: tl.constexpr,
    HAS_PATHS: tl.constexpr,
    GATED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """What a segment alone hands to the one before it (`local`), and its sum of step sizes (`passed`)."""
    batch, length, channels, states = sizes
    blocks = tl.cdiv(channels, BLOCK_D)
    program = tl.program_id(0)
    block = program % blocks
    segment = program // blocks % segments
    image = (program // blocks // segments % batch).to(tl.int64)
    route = (program // blocks // segments // batch).to(tl.int64)
    start, sign = reading_order(reverse_bits, route, length)

    d = block * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    d_in, n_in = d < channels, n < states
    dn_in = d_in[:, None] & n_in[None, :]
    rates = tl.load(A + (route * channels + d[:, None]) * states + n[None, :], mask=dn_in, other=0.0)
    rates = rates.to(tl.float32) * LOG2_E
    offset = tl.zeros((BLOCK_D,), tl.float32)
    if HAS_BIAS:
        offset = tl.load(bias + route * channels + d, mask=d_in, other=0.0)
    dout += route * dout_strides[0] + image * dout_strides[1]
    delta += route * delta_strides[0] + image * delta_strides[1]
    C += route * C_strides[0] + image * C_strides[1]
    z += route * z_strides[0] + image * z_strides[1]
    paths += route * length

    first = segment * chunks_per_segment * CHUNK
    t = tl.minimum(first + chunks_per_segment * CHUNK, length) - GROUP
    carried = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    total = tl.zeros((BLOCK_D,), tl.float32)
    while t > first - GROUP:
        for back in tl.static_range(GROUP):
            step = t + (GROUP - 1 - back)
            inside = step >= first
            in_d = d_in & inside
            at = row_offsets(step, 0, dout_strides[2], start, sign, length, paths, HAS_PATHS)
            dy = tl.load(dout + at + d * dout_strides[3], mask=in_d, other=0.0).to(tl.float32) * share
            if GATED:
                at = row_offsets(step, 0, z_strides[2], start, sign, length, paths, HAS_PATHS)
                gate = tl.load(z + at + d * z_strides[3], mask=in_d, other=0.0).to(tl.float32)
                dy *= gate * sigmoid(gate)
            at = row_offsets(step, 0, delta_strides[2], start, sign, length, paths, HAS_PATHS)
            size = tl.load(delta + at + d * delta_strides[3], mask=in_d, other=0.0).to(tl.float32) + offset
            if SOFTPLUS:
                size = softplus(size)
            size = tl.where(in_d, size, 0.0)
            at = row_offsets(step, 0, C_strides[2], start, sign, length, paths, HAS_PATHS)
            c = tl.load(C + at + n, mask=n_in & inside, other=0.0).to(tl.float32)
            carried = tl.exp2(size[:, None] * rates) * (carried + dy[:, None] * c[None, :])
            total += size
        t -= GROUP

    at = ((route * batch + image) * segments + segment) * channels + d
    tl.store(passed + at, total, mask=d_in)
    tl.store(local + at[:, None] * states + n[None, :], carried, mask=dn_in)


@triton.jit
def carry_between_segments(
    A: tl.tensor,
    local: tl.tensor,
    passed: tl.tensor,
    sizes: tl.tuple,
    segments: tl.tensor,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """`local` becomes what every segment is handed by the one behind it."""
    batch, _, channels, states = sizes
    blocks = tl.cdiv(channels, BLOCK_D)
    program = tl.program_id(0)
    image = (program // blocks % batch).to(tl.int64)
    route = (program // blocks // batch).to(tl.int64)
    d = program % blocks * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, BLOCK_N)
    d_in = d < channels
    dn_in = d_in[:, None] & (n < states)[None, :]
    rates = tl.load(A + (route * channels + d[:, None]) * states + n[None, :], mask=dn_in, other=0.0)
    rates = rates.to(tl.float32) * LOG2_E
    carried = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    segment = segments - 1
    while segment >= 0:
        at = ((route * batch + image) * segments + segment) * channels + d
        here = local + at[:, None] * states + n[None, :]
        own = tl.load(here, mask=dn_in, other=0.0)
        tl.store(here, carried, mask=dn_in)
        total = tl.load(passed + at, mask=d_in, other=0.0)
        carried = own + tl.where(carried == 0.0, 0.0, tl.exp2(total[:, None] * rates) * carried)
        segment -= 1
