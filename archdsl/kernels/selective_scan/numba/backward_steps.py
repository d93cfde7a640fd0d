"""The backward of the scan within one chunk of steps and one block of sixteen channels, in vectors.

With x_t the final step size, a_t = exp(x_t A), dy_t the gradient of the ungated output and g_t that of h_t:

    h_t = a_t h_{t-1} + x_t u_t B_t             g_t = C_t dy_t + a_{t+1} g_{t+1}
    dB_t = sum_d g_t x_t u_t                    dC_t = sum_d h_t dy_t
    du_t = x_t (g_t . B_t) + D dy_t             dA = sum_t x_t w_t,  w_t = a_t g_t h_{t-1}
    dx_t = u_t (g_t . B_t) + w_t . A            d raw_t = dx_t sigmoid(raw_t)

`room` is the address of a workspace of float32; everything in it is found at fixed offsets. A tile holds 32
steps, in the order of reading, of 16 channels. A is held as A / ln 2, so that a_t = 2**(x_t A).
"""

from __future__ import annotations

from archdsl.kernels.simd import (
    broadcast,
    exp2,
    fma,
    get_int,
    load,
    prefetch,
    routine,
    sigmoid,
    softplus,
    splat,
    store,
)

CHUNK = 32
WIDTH = 16
FLOAT = 4
"""Bytes."""
TILE = CHUNK * WIDTH

TILES = 0
"""Tiles of u, delta, dout, z, ungated, du, ddelta, dz, for what is not used in place."""
SEQUENCES = 8
DY = SEQUENCES * TILE
"""Gradient of the ungated output."""
X = DY + TILE
XU = X + TILE
SLOPE = XU + TILE
"""Derivative of the softplus."""
THROUGH_B = SLOPE + TILE
"""g_t . B_t"""
THROUGH_A = THROUGH_B + TILE
"""w_t . A / ln 2"""
BEFORE = THROUGH_A + TILE
"""States before every step, four vectors for each."""
DECAYS = BEFORE + 4 * TILE
"""a_t, four vectors for each step."""
PLACES = DECAYS + 4 * TILE
"""Of the eight sequences, int64: address of the channels of the chunk's first step, in a tile or where the
sequence is itself, and how many numbers further those of the next step are."""
END = PLACES + 4 * SEQUENCES
"""Size of the fixed part of the workspace."""

LN2 = 0.6931471805599453


@routine
def prepare(
    room: int, steps: int, bias: int, sums: int, gated: bool, softplused: bool, ahead: int, share: float
) -> None:
    """What the recurrence needs of the inputs, and dz.

    Args:
        bias: offset of the sixteen biases.
        sums: offset of two vectors, the sums for dD and for dbias.
        ahead: how many steps further the next chunk lies, 0 where there is none; its lines are asked for.
        share: the part of the output's gradient that is this route's.
    """
    places = room + PLACES * FLOAT
    u, u_stride = get_int(places, 0), get_int(places, 1)
    delta, delta_stride = get_int(places, 2), get_int(places, 3)
    dout, dout_stride = get_int(places, 4), get_int(places, 5)
    z, z_stride = get_int(places, 6), get_int(places, 7)
    ungated, ungated_stride = get_int(places, 8), get_int(places, 9)
    dz, dz_stride = get_int(places, 14), get_int(places, 15)
    zero, one, part = splat(0.0), splat(1.0), splat(share)
    offset = load(room, bias)
    dD = load(room, sums)
    for t in range(steps):
        o = t * WIDTH
        prefetch(u, (t + ahead) * u_stride)
        prefetch(delta, (t + ahead) * delta_stride)
        prefetch(dout, (t + ahead) * dout_stride)
        raw = load(delta, t * delta_stride) + offset
        x = raw
        if softplused:
            x = softplus(raw)
            store(room, SLOPE + o, sigmoid(raw))
        dy = load(dout, t * dout_stride)
        if gated:
            prefetch(z, (t + ahead) * z_stride)
            prefetch(ungated, (t + ahead) * ungated_stride)
            prefetch(dz, (t + ahead) * dz_stride)
            number = load(z, t * z_stride)
            gate = sigmoid(number)
            opened = number * gate
            slope = fma(opened, one - gate, gate)
            store(dz, t * dz_stride, dy * load(ungated, t * ungated_stride) * slope)
            dy = dy * opened
        dy = dy * part
        number = load(u, t * u_stride)
        dD = fma(dy, number, dD)
        store(room, DY + o, dy)
        store(room, X + o, x)
        store(room, XU + o, x * number)
        store(room, THROUGH_B + o, zero)
        store(room, THROUGH_A + o, zero)
    store(room, sums, dD)


@routine
def finish(room: int, steps: int, D: int, sums: int, softplused: bool, ahead: int) -> None:
    """du and ddelta from what went through the states. `D` is the offset of sixteen numbers."""
    places = room + PLACES * FLOAT
    u, u_stride = get_int(places, 0), get_int(places, 1)
    du, du_stride = get_int(places, 10), get_int(places, 11)
    ddelta, ddelta_stride = get_int(places, 12), get_int(places, 13)
    weight, ln2 = load(room, D), splat(LN2)
    dbias = load(room, sums + WIDTH)
    for t in range(steps):
        o = t * WIDTH
        prefetch(du, (t + ahead) * du_stride)
        prefetch(ddelta, (t + ahead) * ddelta_stride)
        through_B = load(room, THROUGH_B + o)
        change = fma(load(u, t * u_stride), through_B, ln2 * load(room, THROUGH_A + o))
        if softplused:
            change = change * load(room, SLOPE + o)
        store(du, t * du_stride, fma(load(room, X + o), through_B, weight * load(room, DY + o)))
        store(ddelta, t * ddelta_stride, change)
        dbias = dbias + change
    store(room, sums + WIDTH, dbias)


@routine
def one_state(
    room: int, steps: int, A: int, start: int, vectors: int, B: int, numbers: int, dB: int, states: int
) -> None:
    """The chunk for one state.

    Args:
        A: offset of its vector of A, and `vectors` numbers behind it of what the chunk behind this one gives
            back, a_{t+1} g_{t+1} (replaced), and again behind it of the sum for dA.
        start: offset of the state before the chunk.
        B: offset of its number of B in the first step, and `numbers` behind it of that of C; those of the
            next step are `states` further.
        dB: offset of the vector of sums for dB in the first step; those for dC are a chunk behind.
    """
    carried, dA, C, dC, row = A + vectors, A + 2 * vectors, B + numbers, dB + CHUNK * vectors, states
    a_log2 = load(room, A)
    h = load(room, start)
    for t in range(steps):
        o = t * WIDTH
        a = exp2(load(room, X + o) * a_log2)
        store(room, BEFORE + o, h)
        store(room, DECAYS + o, a)
        h = fma(a, h, load(room, XU + o) * broadcast(room, B + t * row))
    back = load(room, carried)
    sum_A = load(room, dA)
    for t in range(steps - 1, -1, -1):
        o, p = t * WIDTH, t * row * WIDTH
        x, xu, dy = load(room, X + o), load(room, XU + o), load(room, DY + o)
        g = fma(broadcast(room, C + t * row), dy, back)
        store(room, dC + p, fma(dy, h, load(room, dC + p)))
        store(room, dB + p, fma(xu, g, load(room, dB + p)))
        store(room, THROUGH_B + o, fma(g, broadcast(room, B + t * row), load(room, THROUGH_B + o)))
        back = load(room, DECAYS + o) * g
        h = load(room, BEFORE + o)
        w = back * h
        store(room, THROUGH_A + o, fma(w, a_log2, load(room, THROUGH_A + o)))
        sum_A = fma(w, x, sum_A)
    store(room, carried, back)
    store(room, dA, sum_A)


@routine
def four_states(
    room: int, steps: int, A: int, start: int, vectors: int, B: int, numbers: int, dB: int, states: int
) -> None:
    """The same as `one_state` for four states in a row, all in registers."""
    carried, dA, C, dC, row = A + vectors, A + 2 * vectors, B + numbers, dB + CHUNK * vectors, states
    A0, A1, A2, A3 = load(room, A), load(room, A + 16), load(room, A + 32), load(room, A + 48)
    h0, h1, h2, h3 = load(room, start), load(room, start + 16), load(room, start + 32), load(room, start + 48)
    for t in range(steps):
        b, o = t * row, t * 4 * WIDTH
        x, xu = load(room, X + t * WIDTH), load(room, XU + t * WIDTH)
        a0, a1, a2, a3 = exp2(x * A0), exp2(x * A1), exp2(x * A2), exp2(x * A3)
        store(room, BEFORE + o, h0)
        store(room, BEFORE + o + 16, h1)
        store(room, BEFORE + o + 32, h2)
        store(room, BEFORE + o + 48, h3)
        store(room, DECAYS + o, a0)
        store(room, DECAYS + o + 16, a1)
        store(room, DECAYS + o + 32, a2)
        store(room, DECAYS + o + 48, a3)
        h0 = fma(a0, h0, xu * broadcast(room, B + b))
        h1 = fma(a1, h1, xu * broadcast(room, B + b + 1))
        h2 = fma(a2, h2, xu * broadcast(room, B + b + 2))
        h3 = fma(a3, h3, xu * broadcast(room, B + b + 3))
    q0, q1, q2, q3 = (
        load(room, carried),
        load(room, carried + 16),
        load(room, carried + 32),
        load(room, carried + 48),
    )
    s0, s1, s2, s3 = load(room, dA), load(room, dA + 16), load(room, dA + 32), load(room, dA + 48)
    for t in range(steps - 1, -1, -1):
        b, o, p = t * row, t * 4 * WIDTH, t * row * WIDTH
        x, xu, dy = load(room, X + t * WIDTH), load(room, XU + t * WIDTH), load(room, DY + t * WIDTH)
        g0 = fma(broadcast(room, C + b), dy, q0)
        g1 = fma(broadcast(room, C + b + 1), dy, q1)
        g2 = fma(broadcast(room, C + b + 2), dy, q2)
        g3 = fma(broadcast(room, C + b + 3), dy, q3)
        store(room, dC + p, fma(dy, h0, load(room, dC + p)))
        store(room, dC + p + 16, fma(dy, h1, load(room, dC + p + 16)))
        store(room, dC + p + 32, fma(dy, h2, load(room, dC + p + 32)))
        store(room, dC + p + 48, fma(dy, h3, load(room, dC + p + 48)))
        store(room, dB + p, fma(xu, g0, load(room, dB + p)))
        store(room, dB + p + 16, fma(xu, g1, load(room, dB + p + 16)))
        store(room, dB + p + 32, fma(xu, g2, load(room, dB + p + 32)))
        store(room, dB + p + 48, fma(xu, g3, load(room, dB + p + 48)))
        through_B = fma(
            g0, broadcast(room, B + b), fma(g1, broadcast(room, B + b + 1), load(room, THROUGH_B + t * WIDTH))
        )
        through_B = through_B + fma(g2, broadcast(room, B + b + 2), g3 * broadcast(room, B + b + 3))
        store(room, THROUGH_B + t * WIDTH, through_B)
        q0 = load(room, DECAYS + o) * g0
        q1 = load(room, DECAYS + o + 16) * g1
        q2 = load(room, DECAYS + o + 32) * g2
        q3 = load(room, DECAYS + o + 48) * g3
        h0, h1 = load(room, BEFORE + o), load(room, BEFORE + o + 16)
        h2, h3 = load(room, BEFORE + o + 32), load(room, BEFORE + o + 48)
        w0, w1, w2, w3 = q0 * h0, q1 * h1, q2 * h2, q3 * h3
        through_A = fma(w0, A0, fma(w1, A1, load(room, THROUGH_A + t * WIDTH))) + fma(w2, A2, w3 * A3)
        store(room, THROUGH_A + t * WIDTH, through_A)
        s0, s1, s2, s3 = fma(w0, x, s0), fma(w1, x, s1), fma(w2, x, s2), fma(w3, x, s3)
    store(room, carried, q0)
    store(room, carried + 16, q1)
    store(room, carried + 32, q2)
    store(room, carried + 48, q3)
    store(room, dA, s0)
    store(room, dA + 16, s1)
    store(room, dA + 32, s2)
    store(room, dA + 48, s3)
