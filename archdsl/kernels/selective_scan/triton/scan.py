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
    as_step,
    decay,
    load_vector,
    reading_order,
    row_offsets,
    sequence,
    sigmoid,
    step_of,
    step_sizes,
    within,
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
    B_ALIGNED: tl.constexpr,
    C_ALIGNED: tl.constexpr,
    STATE: tl.constexpr,
    N: tl.constexpr,
    CHANNELS: tl.constexpr,
    STEPS: tl.constexpr,
    IN_MEMORY_ORDER: tl.constexpr,
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
        B_ALIGNED, C_ALIGNED: to how many bytes the vectors of every step are.
        IN_MEMORY_ORDER: that u, delta, z and y have stride 1 along steps and channels start at multiples
            of 16 bytes; `length` is then a multiple of STEPS, and there are no paths.
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
    order = steps
    if IN_MEMORY_ORDER:
        order = tl.where(sign < 0, STEPS - 1 - steps, steps)
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

    inside = within(t, steps, end, known, IN_MEMORY_ORDER)
    rows = row_offsets(t, order, u_l, first, sign, length, path, paths is not None)
    next_u = tl.load(sequence(u, rows, c * u_d, IN_MEMORY_ORDER), mask=inside, other=0.0)
    rows = row_offsets(t, order, delta_l, first, sign, length, path, paths is not None)
    next_delta = tl.load(sequence(delta, rows, c * delta_d, IN_MEMORY_ORDER), mask=inside, other=0.0)
    while t < end:
        if states is not None:
            at = states + (t // CHUNK).to(tl.int64) * STATE * channels
            if t % CHUNK == 0:
                tl.store(at + state_offsets, h, mask=state_mask)
        inside = within(t, steps, end, known, IN_MEMORY_ORDER)
        u_tile = next_u.to(tl.float32)
        delta_tile = step_sizes(next_delta, shift, inside, SOFTPLUS)
        input_tile = delta_tile * u_tile
        y_tile = weight[None, :] * u_tile

        coming = within(t + STEPS, steps, end, known, IN_MEMORY_ORDER)
        rows = row_offsets(t + STEPS, order, u_l, first, sign, length, path, paths is not None)
        next_u = tl.load(sequence(u, rows, c * u_d, IN_MEMORY_ORDER), mask=coming, other=0.0)
        rows = row_offsets(t + STEPS, order, delta_l, first, sign, length, path, paths is not None)
        next_delta = tl.load(sequence(delta, rows, c * delta_d, IN_MEMORY_ORDER), mask=coming, other=0.0)
        if z is not None:
            rows = row_offsets(t, order, z_l, first, sign, length, path, paths is not None)
            z_tile = tl.load(sequence(z, rows, c * z_d, IN_MEMORY_ORDER), mask=inside, other=0.0)

        for k in tl.static_range(STEPS):
            real_step = real & (t + k < end)
            row = row_offsets(t, k, B_l, first, sign, length, path, paths is not None)
            B_row = load_vector(B + row, n, real_step, B_ALIGNED)
            step = step_of(delta_tile, steps, k, sign < 0, IN_MEMORY_ORDER)
            a = decay(step, A_log2, POLYNOMIAL > 0 and k % POLYNOMIAL == 0)
            h = a * h + step_of(input_tile, steps, k, sign < 0, IN_MEMORY_ORDER)[None, :] * B_row[:, None]
            if OUTPUT:
                row = row_offsets(t, k, C_l, first, sign, length, path, paths is not None)
                products = h * load_vector(C + row, n, real_step, C_ALIGNED)[:, None]
                if STATE < N:
                    products = tl.where(real[:, None], products, 0.0)
                y_tile += as_step(tl.sum(products, axis=0), steps, k, sign < 0, IN_MEMORY_ORDER)
        if OUTPUT:
            rows = row_offsets(t, order, y_l, first, sign, length, path, paths is not None)
            if ungated is not None:
                at = sequence(ungated, rows, c * y_d, IN_MEMORY_ORDER)
                tl.store(at, y_tile.to(ungated.dtype.element_ty), mask=inside)
            if z is not None:
                gate = z_tile.to(tl.float32)
                y_tile *= gate * sigmoid(gate)
            at = sequence(y, rows, c * y_d, IN_MEMORY_ORDER)
            tl.store(at, y_tile.to(y.dtype.element_ty), mask=inside)
        else:
            total += tl.sum(delta_tile, axis=0)
        t += STEPS

    if OUTPUT:
        if states is not None:
            at = states + ((end - 1) // CHUNK + 1).to(tl.int64) * STATE * channels
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
    outer: tl.tensor,
    inner: tl.tensor,
    partial_r: tl.tensor,
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
        partial: (r, b, outer, inner), contiguous, `partial_r` numbers for each route.
        y, ungated: (b, outer, inner), contiguous.
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
        partial += partial_r
        found += tl.load(partial + places, mask=mask, other=0.0).to(tl.float32)
    found *= share
    if ungated is not None:
        tl.store(ungated + places, found.to(ungated.dtype.element_ty), mask=mask)
    if z is not None:
        at = z + image * z_b + rows.to(tl.int64)[:, None] * z_outer + columns[None, :] * z_inner
        gate = tl.load(at, mask=mask, other=0.0).to(tl.float32)
        found *= gate * sigmoid(gate)
    tl.store(y + places, found.to(y.dtype.element_ty), mask=mask)
