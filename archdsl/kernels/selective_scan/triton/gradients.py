"""The backward of the selective scan in Triton: the kernel for the gradients, see `backward` for its launch.

A program takes one route, one image, a block of channels and a segment of the steps. The gradient of the
state, g_t = C_t dy_t + exp(delta_{t+1} A) g_{t+1}, is walked from the last step of the segment to its first,
in registers. The states that it meets are computed again: from the saved one before a chunk to those before
every `GROUP` steps, which go to memory, and from those, inside a group, to registers. What is the same for
all N numbers of a channel's state is computed for STEPS steps at once, before and after the walk of a chunk.
Both go through `scratch`, which every program has a part of: (CHUNK / GROUP, BLOCK_D, BLOCK_N) for states,
then five of (CHUNK, BLOCK_D). Steps past the end have delta = 0 and change nothing.
"""

# mypy: disable-error-code="untyped-decorator, no-any-return, assignment"
# ruff: noqa: RUF005 (Triton adds tuples, it does not unpack them)

from __future__ import annotations

import triton
import triton.language as tl

from archdsl.kernels.selective_scan.triton.tiles import (
    LOG2_E,
    reading_order,
    row_offsets,
    sigmoid,
    step_sizes,
)

LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def tile_offsets(  # type: ignore[no-untyped-def]
    t: tl.tensor,
    d: tl.tensor,
    strides: tl.tuple,
    start: tl.tensor,
    sign: tl.tensor,
    length: tl.tensor,
    paths: tl.tensor,
    STEPS: tl.constexpr,
    HAS_PATHS: tl.constexpr,
):
    """Offsets (STEPS, BLOCK_D) of the steps from t on and the channels d."""
    steps = tl.arange(0, STEPS)
    rows = row_offsets(t, steps, strides[2], start, sign, length, paths, HAS_PATHS)
    return rows[:, None] + d[None, :] * strides[3]


@triton.jit
def gradients_of_segments(
    dout: tl.tensor,
    u: tl.tensor,
    delta: tl.tensor,
    A: tl.tensor,
    B: tl.tensor,
    C: tl.tensor,
    D: tl.tensor,
    z: tl.tensor,
    bias: tl.tensor,
    paths: tl.tensor,
    saved: tl.tensor,
    ungated: tl.tensor,
    carry: tl.tensor,
    scratch: tl.tensor,
    du: tl.tensor,
    ddelta: tl.tensor,
    dz: tl.tensor,
    dA: tl.tensor,
    dB: tl.tensor,
    dC: tl.tensor,
    dD: tl.tensor,
    dbias: tl.tensor,
    saved_strides: tl.tuple,
    dout_strides: tl.tuple,
    u_strides: tl.tuple,
    delta_strides: tl.tuple,
    B_strides: tl.tuple,
    C_strides: tl.tuple,
    z_strides: tl.tuple,
    ungated_strides: tl.tuple,
    du_strides: tl.tuple,
    dz_strides: tl.tuple,
    sizes: tl.tuple,
    routes: tl.tensor,
    chunks_per_segment: tl.tensor,
    segments: tl.tensor,
    reverse_bits: tl.tensor,
    share: tl.tensor,
    HAS_D: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_PATHS: tl.constexpr,
    GATED: tl.constexpr,
    MERGED: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr,
    STEPS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_N: tl.constexpr,
) -> None:
    """The gradients of one segment.

    `dB` and `dC` (blocks, r, b, l, n) hold the parts of every block of channels, `dA` (b, segments, r, d, n),
    `dD` and `dbias` (b, segments, r, d) those of every image and segment. `carry` (r, b, segments, d, n) is
    read where there is more than one segment.
    """
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
    skip = tl.zeros((BLOCK_D,), tl.float32)
    if HAS_D:
        skip = tl.load(D + route * channels + d, mask=d_in, other=0.0)

    dout += route * dout_strides[0] + image * dout_strides[1]
    u += route * u_strides[0] + image * u_strides[1]
    delta += route * delta_strides[0] + image * delta_strides[1]
    B += route * B_strides[0] + image * B_strides[1]
    C += route * C_strides[0] + image * C_strides[1]
    z += route * z_strides[0] + image * z_strides[1]
    ungated += route * ungated_strides[0] + image * ungated_strides[1]
    du += route * du_strides[0] + image * du_strides[1]
    ddelta += route * du_strides[0] + image * du_strides[1]
    dz += route * dz_strides[0] + image * dz_strides[1]
    paths += route * length
    chunks = tl.cdiv(length, CHUNK)
    saved += route * saved_strides[0] + image * saved_strides[1]
    of_image = ((block.to(tl.int64) * routes + route) * batch + image) * length * states
    dB += of_image
    dC += of_image
    part = CHUNK // GROUP * BLOCK_D * BLOCK_N + 5 * CHUNK * BLOCK_D
    scratch += program.to(tl.int64) * part
    h_scratch = scratch + tl.arange(0, BLOCK_D)[:, None] * BLOCK_N + n[None, :]
    scratch += CHUNK // GROUP * BLOCK_D * BLOCK_N
    writes_dz = (route == 0) | (not MERGED)
    steps = tl.arange(0, STEPS)
    lane = tl.arange(0, BLOCK_D)
    tile = scratch + steps[:, None] * BLOCK_D + lane[None, :]

    carried = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    if segments > 1:
        at = ((route * batch + image) * segments + segment) * channels + d
        carried = tl.load(carry + at[:, None] * states + n[None, :], mask=dn_in, other=0.0)
    sum_A = tl.zeros((BLOCK_D, BLOCK_N), tl.float32)
    sum_D = tl.zeros((BLOCK_D,), tl.float32)
    sum_bias = tl.zeros((BLOCK_D,), tl.float32)

    first_chunk = segment * chunks_per_segment
    chunk = tl.minimum(first_chunk + chunks_per_segment, chunks) - 1
    while chunk >= first_chunk:
        t = chunk * CHUNK

        # Before the walk: delta, delta u and dy of the chunk.
        part = 0
        while part < CHUNK:
            inside = (t + part + steps < length)[:, None] & d_in[None, :]
            here = tile + part * BLOCK_D
            tile_at = tile_offsets(t + part, d, delta_strides, start, sign, length, paths, STEPS, HAS_PATHS)
            size_tile = step_sizes(tl.load(delta + tile_at, mask=inside, other=0.0), offset, inside, SOFTPLUS)
            tl.store(here, size_tile)
            tile_at = tile_offsets(t + part, d, u_strides, start, sign, length, paths, STEPS, HAS_PATHS)
            x = tl.load(u + tile_at, mask=inside, other=0.0).to(tl.float32)
            tl.store(here + CHUNK * BLOCK_D, size_tile * x)
            tile_at = tile_offsets(t + part, d, dout_strides, start, sign, length, paths, STEPS, HAS_PATHS)
            dy_tile = tl.load(dout + tile_at, mask=inside, other=0.0).to(tl.float32)
            if GATED:
                tile_at = tile_offsets(t + part, d, z_strides, start, sign, length, paths, STEPS, HAS_PATHS)
                gate = tl.load(z + tile_at, mask=inside, other=0.0).to(tl.float32)
                half = sigmoid(gate)
                writes = inside & writes_dz
                tile_at = tile_offsets(
                    t + part, d, ungated_strides, start, sign, length, paths, STEPS, HAS_PATHS
                )
                plain = tl.load(ungated + tile_at, mask=writes, other=0.0).to(tl.float32)
                tile_at = tile_offsets(t + part, d, dz_strides, start, sign, length, paths, STEPS, HAS_PATHS)
                value = dy_tile * plain * half * (1.0 + gate * (1.0 - half))
                tl.store(dz + tile_at, value.to(dz.dtype.element_ty), mask=writes)
                dy_tile *= gate * half
            tl.store(here + 2 * CHUNK * BLOCK_D, dy_tile * share)
            part += STEPS
        tl.debug_barrier()

        # The states before every group.
        groups = tl.cdiv(tl.minimum(CHUNK, length - t), GROUP)
        saved_at = (chunk.to(tl.int64) * states + n[None, :]) * channels + d[:, None]
        h = tl.load(saved + saved_at, mask=dn_in, other=0.0)
        tl.store(h_scratch, h)
        group = 1
        while group < groups:
            for k in tl.static_range(GROUP):
                step = (group - 1) * GROUP + k
                size = tl.load(scratch + step * BLOCK_D + lane)
                size_x = tl.load(scratch + (CHUNK + step) * BLOCK_D + lane)
                row = row_offsets(t + step, 0, B_strides[2], start, sign, length, paths, HAS_PATHS)
                b = tl.load(B + row + n, mask=n_in, other=0.0).to(tl.float32)
                h = tl.exp2(size[:, None] * rates) * h + size_x[:, None] * b[None, :]
            tl.store(h_scratch + group * BLOCK_D * BLOCK_N, h)
            group += 1
        tl.debug_barrier()

        # The walk back, group by group.
        group = groups - 1
        while group >= 0:
            h = tl.load(h_scratch + group * BLOCK_D * BLOCK_N)
            h_all: tl.tuple = (h,)
            a_all: tl.tuple = ()
            b_all: tl.tuple = ()
            size_all: tl.tuple = ()
            size_x_all: tl.tuple = ()
            for k in tl.static_range(GROUP):
                step = group * GROUP + k
                size = tl.load(scratch + step * BLOCK_D + lane)
                size_x = tl.load(scratch + (CHUNK + step) * BLOCK_D + lane)
                row = row_offsets(t + step, 0, B_strides[2], start, sign, length, paths, HAS_PATHS)
                b = tl.load(B + row + n, mask=n_in & (t + step < length), other=0.0).to(tl.float32)
                a = tl.exp2(size[:, None] * rates)
                h = a * h + size_x[:, None] * b[None, :]
                h_all = h_all + (h,)
                a_all = a_all + (a,)
                b_all = b_all + (b,)
                size_all = size_all + (size,)
                size_x_all = size_x_all + (size_x,)
            for back in tl.static_range(GROUP):
                step = group * GROUP + (GROUP - 1 - back)
                in_n = n_in & (t + step < length)
                dy = tl.load(scratch + (2 * CHUNK + step) * BLOCK_D + lane)
                row = row_offsets(t + step, 0, C_strides[2], start, sign, length, paths, HAS_PATHS)
                c = tl.load(C + row + n, mask=in_n, other=0.0).to(tl.float32)
                g = dy[:, None] * c[None, :] + carried
                carried = a_all[GROUP - 1 - back] * g
                of_decay = tl.where(t + step < length, carried * h_all[GROUP - 1 - back], 0.0)
                sum_A += of_decay * size_all[GROUP - 1 - back][:, None]
                of_c = tl.sum(dy[:, None] * h_all[GROUP - back], 0)
                of_b = tl.sum(size_x_all[GROUP - 1 - back][:, None] * g, 0)
                through_b = tl.sum(g * b_all[GROUP - 1 - back][None, :], 1)
                through_a = tl.sum(of_decay * rates, 1)
                row = row_offsets(t + step, 0, states, start, sign, length, paths, HAS_PATHS)
                tl.store(dC + row + n, of_c, mask=in_n)
                tl.store(dB + row + n, of_b, mask=in_n)
                tl.store(scratch + (3 * CHUNK + step) * BLOCK_D + lane, through_b)
                tl.store(scratch + (4 * CHUNK + step) * BLOCK_D + lane, through_a)
            group -= 1
        tl.debug_barrier()

        # After the walk: du and ddelta of the chunk.
        part = 0
        while part < CHUNK:
            inside = (t + part + steps < length)[:, None] & d_in[None, :]
            here = tile + part * BLOCK_D
            tile_at = tile_offsets(t + part, d, u_strides, start, sign, length, paths, STEPS, HAS_PATHS)
            x = tl.load(u + tile_at, mask=inside, other=0.0).to(tl.float32)
            through_b_tile = tl.load(here + 3 * CHUNK * BLOCK_D, mask=inside, other=0.0)
            of_size = x * through_b_tile + tl.load(here + 4 * CHUNK * BLOCK_D, mask=inside, other=0.0) * LN_2
            if SOFTPLUS:
                tile_at = tile_offsets(
                    t + part, d, delta_strides, start, sign, length, paths, STEPS, HAS_PATHS
                )
                raw = tl.load(delta + tile_at, mask=inside, other=0.0).to(tl.float32) + offset[None, :]
                of_size *= sigmoid(raw)
            of_x = tl.load(here) * through_b_tile
            if HAS_D:
                dy_tile = tl.load(here + 2 * CHUNK * BLOCK_D)
                of_x += skip[None, :] * dy_tile
                sum_D += tl.sum(dy_tile * x, 0)
            if HAS_BIAS:
                sum_bias += tl.sum(of_size, 0)
            tile_at = tile_offsets(t + part, d, du_strides, start, sign, length, paths, STEPS, HAS_PATHS)
            tl.store(du + tile_at, of_x.to(du.dtype.element_ty), mask=inside)
            tl.store(ddelta + tile_at, of_size.to(ddelta.dtype.element_ty), mask=inside)
            part += STEPS
        tl.debug_barrier()
        chunk -= 1

    at = ((image * segments + segment) * routes + route) * channels + d
    tl.store(dA + at[:, None] * states + n[None, :], sum_A, mask=dn_in)
    if HAS_D:
        tl.store(dD + at, sum_D, mask=d_in)
    if HAS_BIAS:
        tl.store(dbias + at, sum_bias, mask=d_in)
