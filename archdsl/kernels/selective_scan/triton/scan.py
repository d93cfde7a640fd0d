"""The Triton kernels of the forward scan: r routes, b images, l steps, d channels, n states.

One program walks along one segment of the steps for one block of channels (see `tiles`). The tile to come is
loaded before the present one is computed. Where segments are several, three kernels run one after the other:
`scan` without outputs gives what every segment adds to the state, `carry` the states at their starts, and
`scan` again the outputs from there.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

from archdsl.kernels.selective_scan.triton.tiles import (
    LOG2_E,
    decay,
    reading_order,
    row_of,
    row_offsets,
    sigmoid,
    step_sizes,
)


@triton.jit(
    do_not_specialize=["A_n"],
    do_not_specialize_on_alignment=["u", "delta", "z", "y", "ungated", "states", "starts"],
)
def scan(
    u: tl.tensor,
    delta: tl.tensor,
    A: tl.tensor,
    B: tl.tensor,
    C: tl.tensor,
    D: tl.tensor,
    z: tl.tensor,
    bias: tl.tensor,
    paths: tl.tensor,
    y: tl.tensor,
    ungated: tl.tensor,
    states: tl.tensor,
    starts: tl.tensor,
    sums: tl.tensor,
    routes: tl.tensor,
    images: tl.tensor,
    length: tl.tensor,
    channels: tl.tensor,
    reverse_bits: tl.tensor,
    segment: tl.tensor,
    u_r: tl.tensor,
    u_b: tl.tensor,
    u_l: tl.tensor,
    u_d: tl.tensor,
    delta_r: tl.tensor,
    delta_b: tl.tensor,
    delta_l: tl.tensor,
    delta_d: tl.tensor,
    A_n: tl.tensor,
    B_r: tl.tensor,
    B_b: tl.tensor,
    B_l: tl.tensor,
    C_r: tl.tensor,
    C_b: tl.tensor,
    C_l: tl.tensor,
    z_r: tl.tensor,
    z_b: tl.tensor,
    z_l: tl.tensor,
    z_d: tl.tensor,
    y_r: tl.tensor,
    y_b: tl.tensor,
    y_l: tl.tensor,
    y_d: tl.tensor,
    STATE: tl.constexpr,
    N: tl.constexpr,
    CHANNELS: tl.constexpr,
    STEPS: tl.constexpr,
    CHUNK: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    OUTPUT: tl.constexpr,
    SPLIT: tl.constexpr,
    POLYNOMIAL: tl.constexpr,
) -> None:
    """The scan of a block of channels along a segment; programs: segments x routes x images x blocks.

    Args:
        z, ungated, D, bias, paths, states: None where there are none.
        y: of the type of u, or float32.
        starts: with SPLIT, (segments, r, b, n, d) float32: read as the state before the segment where OUTPUT,
            else written with the state that the segment reaches from 0.
        sums: with SPLIT and not OUTPUT, written: (segments, r, b, d) float32, sums of the step sizes.
        segment: its length, a multiple of `CHUNK` where there are several.
        u_r, ...: strides of u along routes, images, steps, channels; ungated has those of y.
        A_n: stride of A along its states.
        STATE: n; N: the power of two that holds it.
        CHUNK: steps between two saved states.
        OUTPUT: whether y, ungated and states are written.
        POLYNOMIAL: every how many steps exponentials are polynomials; 0 for never.
    """
    blocks = tl.cdiv(channels, CHANNELS)
    program = tl.program_id(0)
    c = (program % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    image = ((program // blocks) % images).to(tl.int64)
    route = (program // blocks // images) % routes
    part = program // blocks // images // routes
    t = part * segment
    end = tl.minimum(t + segment, length)
    first, sign = reading_order(reverse_bits, route, length)
    path = paths
    if paths is not None:
        path += route.to(tl.int64) * length
    place = (part * routes + route) * images + image
    route = route.to(tl.int64)

    u += route * u_r + image * u_b
    delta += route * delta_r + image * delta_b
    B += route * B_r + image * B_b
    C += route * C_r + image * C_b
    y += route * y_r + image * y_b
    if z is not None:
        z += route * z_r + image * z_b
    if ungated is not None:
        ungated += route * y_r + image * y_b

    steps = tl.arange(0, STEPS)
    n = tl.arange(0, N)
    known = c < channels
    real = n < STATE
    state_mask = real[:, None] & known[None, :]
    state_offsets = n[:, None] * channels + c[None, :]
    A += route * channels * STATE
    A_log2 = tl.load(A + c[None, :] * STATE + n[:, None] * A_n, mask=state_mask, other=0.0) * LOG2_E
    weight = tl.zeros((CHANNELS,), tl.float32)
    if D is not None:
        weight = tl.load(D + route * channels + c, mask=known, other=0.0)
    shift = tl.zeros((CHANNELS,), tl.float32)
    if bias is not None:
        shift = tl.load(bias + route * channels + c, mask=known, other=0.0)
    h = tl.zeros((N, CHANNELS), tl.float32)
    if SPLIT and OUTPUT:
        h = tl.load(starts + place * STATE * channels + state_offsets, mask=state_mask, other=0.0)
    total = tl.zeros((CHANNELS,), tl.float32)
    if states is not None:
        states += (route * images + image) * (tl.cdiv(length, CHUNK) + 1) * STATE * channels

    inside = (t + steps < end)[:, None] & known[None, :]
    rows = row_offsets(t, steps, u_l, first, sign, length, path, paths is not None)
    next_u = tl.load(u + rows[:, None] + c[None, :] * u_d, mask=inside, other=0.0)
    rows = row_offsets(t, steps, delta_l, first, sign, length, path, paths is not None)
    next_delta = tl.load(delta + rows[:, None] + c[None, :] * delta_d, mask=inside, other=0.0)
    while t < end:
        if states is not None:
            at = states + (t // CHUNK).to(tl.int64) * STATE * channels
            tl.store(at + state_offsets, h, mask=state_mask & (t % CHUNK == 0))
        inside = (t + steps < end)[:, None] & known[None, :]
        u_tile = next_u.to(tl.float32)
        delta_tile = step_sizes(next_delta, shift, inside, SOFTPLUS)
        input_tile = delta_tile * u_tile

        coming = (t + STEPS + steps < end)[:, None] & known[None, :]
        rows = row_offsets(t + STEPS, steps, u_l, first, sign, length, path, paths is not None)
        next_u = tl.load(u + rows[:, None] + c[None, :] * u_d, mask=coming, other=0.0)
        rows = row_offsets(t + STEPS, steps, delta_l, first, sign, length, path, paths is not None)
        next_delta = tl.load(delta + rows[:, None] + c[None, :] * delta_d, mask=coming, other=0.0)
        if z is not None:
            rows = row_offsets(t, steps, z_l, first, sign, length, path, paths is not None)
            z_tile = tl.load(z + rows[:, None] + c[None, :] * z_d, mask=inside, other=0.0)

        y_tile = weight[None, :] * u_tile
        for k in tl.static_range(STEPS):
            real_step = real & (t + k < end)
            row = row_offsets(t, k, B_l, first, sign, length, path, paths is not None)
            B_row = tl.load(B + row + n, mask=real_step, other=0.0).to(tl.float32)
            a = decay(row_of(delta_tile, steps, k), A_log2, POLYNOMIAL > 0 and k % POLYNOMIAL == 0)
            h = a * h + row_of(input_tile, steps, k)[None, :] * B_row[:, None]
            if OUTPUT:
                row = row_offsets(t, k, C_l, first, sign, length, path, paths is not None)
                C_row = tl.load(C + row + n, mask=real_step, other=0.0).to(tl.float32)
                products = h * C_row[:, None]
                if STATE < N:
                    products = tl.where(real[:, None], products, 0.0)
                y_row = tl.sum(products, axis=0)
                y_tile += tl.where((steps == k)[:, None], y_row[None, :], 0.0)
        if OUTPUT:
            rows = row_offsets(t, steps, y_l, first, sign, length, path, paths is not None)
            places = rows[:, None] + c[None, :] * y_d
            if ungated is not None:
                tl.store(ungated + places, y_tile.to(ungated.dtype.element_ty), mask=inside)
            if z is not None:
                gate = z_tile.to(tl.float32)
                y_tile *= gate * sigmoid(gate)
            tl.store(y + places, y_tile.to(y.dtype.element_ty), mask=inside)
        else:
            total += tl.sum(delta_tile, axis=0)
        t += STEPS

    if OUTPUT:
        if states is not None:
            at = states + tl.cdiv(length, CHUNK).to(tl.int64) * STATE * channels
            tl.store(at + state_offsets, h, mask=state_mask & (end == length))
    else:
        tl.store(starts + place * STATE * channels + state_offsets, h, mask=state_mask)
        tl.store(sums + place * channels + c, total, mask=known)


@triton.jit
def carry(
    A: tl.tensor,
    starts: tl.tensor,
    sums: tl.tensor,
    routes: tl.tensor,
    images: tl.tensor,
    channels: tl.tensor,
    segments: tl.tensor,
    STATE: tl.constexpr,
    N: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Turns what segments add to the state into the states at their starts; programs: r x b x blocks.

    A segment multiplies the state it gets by exp(A sum of its step sizes).
    """
    blocks = tl.cdiv(channels, CHANNELS)
    program = tl.program_id(0)
    c = (program % blocks) * CHANNELS + tl.arange(0, CHANNELS)
    place = (program // blocks).to(tl.int64)
    route = place // images
    n = tl.arange(0, N)
    known = c < channels
    mask = (n < STATE)[:, None] & known[None, :]
    offsets = n[:, None] * channels + c[None, :]
    A_log2 = tl.load(A + (route * channels + c[None, :]) * STATE + n[:, None], mask=mask, other=0.0) * LOG2_E
    h = tl.zeros((N, CHANNELS), tl.float32)
    s = 0
    while s < segments:
        at = starts + place * STATE * channels + offsets
        added = tl.load(at, mask=mask, other=0.0)
        total = tl.load(sums + place * channels + c, mask=known, other=0.0)
        tl.store(at, h, mask=mask)
        h = decay(total, A_log2, False) * h + added
        place += routes * images
        s += 1


@triton.jit
def merge(
    partial: tl.tensor,
    z: tl.tensor,
    y: tl.tensor,
    ungated: tl.tensor,
    share: tl.tensor,
    images: tl.tensor,
    outer: tl.tensor,
    inner: tl.tensor,
    z_b: tl.tensor,
    z_outer: tl.tensor,
    z_inner: tl.tensor,
    ROUTES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """y = share * (sum of `partial` over routes), times silu(z); programs: b x row blocks x column blocks.

    The sum is formed in the order of routes, in float32.

    Args:
        partial: (r, b, outer, inner), contiguous; y and ungated (b, outer, inner) likewise.
        z, ungated: None where there are none.
    """
    across = tl.cdiv(inner, COLUMNS)
    down = tl.cdiv(outer, ROWS)
    program = tl.program_id(0)
    columns = (program % across) * COLUMNS + tl.arange(0, COLUMNS)
    rows = (program // across % down) * ROWS + tl.arange(0, ROWS)
    image = (program // across // down).to(tl.int64)
    mask = (rows < outer)[:, None] & (columns < inner)[None, :]
    places = (image * outer + rows[:, None]) * inner + columns[None, :]
    found = tl.load(partial + places, mask=mask, other=0.0).to(tl.float32)
    for _ in tl.static_range(ROUTES - 1):
        partial += images.to(tl.int64) * outer * inner
        found += tl.load(partial + places, mask=mask, other=0.0).to(tl.float32)
    found *= share
    if ungated is not None:
        tl.store(ungated + places, found.to(ungated.dtype.element_ty), mask=mask)
    if z is not None:
        at = z + image * z_b + rows.to(tl.int64)[:, None] * z_outer + columns[None, :] * z_inner
        gate = tl.load(at, mask=mask, other=0.0).to(tl.float32)
        found *= gate * sigmoid(gate)
    tl.store(y + places, found.to(y.dtype.element_ty), mask=mask)
