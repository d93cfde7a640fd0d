"""The forward on the CPU: vectors of 16 channels, chunks of 32 steps in the cache, four states at a time.

A task is a group of neighbouring blocks of 16 channels of one image, in one route, or in all routes where
they are merged. In a chunk the step sizes are prepared once (softplus, times u); the states go through it,
four at a time, in registers.
"""

from __future__ import annotations

from typing import Any

import torch

from archdsl.kernels import simd
from archdsl.kernels.jit import kernel
from archdsl.kernels.parallel import spread
from archdsl.kernels.selective_scan.inputs import CHUNK, Inputs, Outputs, empty, saved_states_shape
from archdsl.kernels.selective_scan.numba import packing
from archdsl.kernels.selective_scan.numba.packing import (
    BIAS,
    CHANNELS,
    IMAGES,
    MARKS,
    MERGED,
    MORE,
    PATHS,
    ROUTES,
    SAVED,
    SEQUENCE,
    SOFTPLUS,
    STATES,
    STEPS,
    UNGATED,
    VECTORS,
    A,
    B,
    D,
    Integers,
    U,
    Y,
    Z,
)
from archdsl.kernels.selective_scan.numba.tiles import (
    ROOM,
    Block,
    Chunk,
    load,
    load_decay,
    load_vectors,
    store,
)
from archdsl.kernels.simd import routine

LOG2_E = 1.4426950408889634
SMALL = 125.0
"""Powers of 2 below this size need no care."""
ROOMS = 4 * ROOM
GROUP = 8
"""Blocks in a task at most: B and C are read once for all, and rows of memory in longer pieces."""
GROUP_STATES = 8 * 16
"""Blocks times states at most, for states that stay in the first cache."""
SUMS = 8192
"""Steps times blocks at most where routes are merged, for sums that stay in the second cache."""


def forward(x: Inputs, saves: bool) -> Outputs:
    """The output of a scan; the states before every chunk and the output before the gate where `saves`."""
    merged = x.merge != "none"
    shape = tuple(x.u.shape[1:] if merged else x.u.shape)
    y = empty(shape, x.u.dtype, x.layout, x.u)
    states = x.A.new_empty(saved_states_shape(x.u, x.A) if saves else (0,))
    ungated = empty(shape, x.u.dtype, x.layout, x.u) if saves and x.z is not None else x.u.new_empty(0)
    group, tasks = _division(x, merged)
    p = packing.packed(x, y, states, ungated)
    spread(_scan, tasks, p, group, _room(x, group), x.share, MARKS[x.u.dtype])
    return Outputs(y, states, ungated)


def _division(x: Inputs, merged: bool) -> tuple[int, int]:
    """Blocks in a task and the number of tasks; the numbers that come out do not depend on it."""
    routes, images, steps, channels = x.u.shape
    blocks = -(-channels // 16)
    sequences = images if merged else images * routes
    group = min(GROUP, max(1, GROUP_STATES // x.A.shape[2]))
    if merged and routes > 1:
        group = min(group, max(1, SUMS // steps))
    threads = torch.get_num_threads()
    while group > 1 and threads > 1 and sequences * -(-blocks // group) < 4 * threads:
        group //= 2
    return group, sequences * -(-blocks // group)


def _room(x: Inputs, group: int) -> int:
    """Bytes of memory that tasks need, one after the other: see `_tasks`."""
    routes, _, steps, _ = x.u.shape
    padded = -(-x.A.shape[2] // 16) * 16
    summed = 64 * steps if x.merge != "none" and routes > 1 else 0
    return group * (128 * padded + 64 + summed) + 8 * CHUNK * padded + 8 * steps + 64


@kernel
def _scan(first: int, last: int, p: Integers, group: int, room: int, share: float, of: Any) -> None:
    """The tasks `first` to `last` of a scan given by `packing.packed`."""
    place = simd.allocate(room)
    _tasks(first, last, p, group, place, share, of)
    simd.release(place)


@routine
def _tasks(first: int, last: int, p: Integers, group: int, room: int, share: float, of: Any) -> None:
    """What `_scan` does, with memory for it."""
    routes, images, steps, channels, states = p[ROUTES], p[IMAGES], p[STEPS], p[CHANNELS], p[STATES]
    blocks = (channels + 15) // 16
    groups = (blocks + group - 1) // group
    chunks = (steps + CHUNK - 1) // CHUNK
    padded = (states + 15) // 16 * 16
    together = p[MERGED] != 0

    # B and C of a chunk; for each block the state, A, its largest size, the sums over routes; rows in order.
    vectors = (room + 63) // 64 * 64
    vectors_size = 4 * CHUNK * padded
    own = vectors + 2 * vectors_size
    block_size = 128 * padded + 64 + (64 * steps if together and routes > 1 else 0)
    in_order = own + group * block_size
    for i in range(steps):
        simd.put_int(in_order, i, i)

    for task in range(first, last):
        first_block = task % groups * group
        count = min(group, blocks - first_block)
        image = task // groups % images
        begin = 0 if together else task // groups // images
        end = routes if together else begin + 1
        for k in range(begin, end):
            rows = in_order if p[PATHS] == 0 else p[PATHS] + 8 * k * steps
            backwards = p[MORE + k] != 0
            for j in range(count):
                channel = 16 * (first_block + j)
                _start(p, Block(k, image, channel, min(16, channels - channel)), own + j * block_size)
            for number in range(chunks + 1):
                length = min(CHUNK, steps - CHUNK * number)
                start = steps - CHUNK * number - length if backwards else CHUNK * number
                chunk = Chunk(rows, start, length, -CHUNK if backwards else CHUNK)
                for which in range(2):
                    load_vectors(p, B + VECTORS * which, k, image, chunk, vectors + which * vectors_size, of)
                for j in range(count):
                    channel = 16 * (first_block + j)
                    block = Block(k, image, channel, min(16, channels - channel))
                    state = own + j * block_size
                    if p[SAVED] != 0:
                        _save(p, block, number, state)
                    if number < chunks:
                        _pass(p, block, chunk, backwards, vectors, state, k > begin, k < end - 1, share, of)


@routine
def _start(p: Integers, block: Block, state: int) -> None:
    """The state 0, A of a block for powers of 2 behind it, then the largest size of A for each channel."""
    states = p[STATES]
    padded = (states + 15) // 16 * 16
    decay = state + 64 * padded
    load_decay(p, p[A], block, decay)
    zero, scale = simd.splat(0.0), simd.splat(LOG2_E)
    largest = zero
    for n in range(states):
        a = simd.load(decay, 16 * n) * scale
        largest = simd.larger_size(largest, a)
        simd.store(decay, 16 * n, a)
        simd.store(state, 16 * n, zero)
    simd.store(decay, 16 * padded, largest)


@routine
def _save(p: Integers, block: Block, number: int, state: int) -> None:
    """The state before chunk `number` to where it is kept."""
    states, channels = p[STATES], p[CHANNELS]
    chunks = (p[STEPS] + CHUNK - 1) // CHUNK
    place = (block.route * p[IMAGES] + block.image) * (chunks + 1) + number
    for n in range(states):
        offset = (place * states + n) * channels + block.channel
        simd.store_some(p[SAVED], offset, simd.load(state, 16 * n), block.width)


@routine
def _pass(
    p: Integers,
    block: Block,
    chunk: Chunk,
    backwards: bool,
    vectors: int,
    state: int,
    adds: bool,
    keeps: bool,
    share: float,
    of: Any,
) -> None:
    """A block through a chunk.

    Args:
        vectors: B and C of the chunk.
        state: the state, A, the largest size of A, the sums over routes.
        adds: whether there are sums over routes from those before.
        keeps: whether there are routes to come.
    """
    states, count = p[STATES], chunk.places
    padded = (states + 15) // 16 * 16
    decay = state + 64 * padded
    sums = decay + 64 * padded + 64
    delta_u = simd.buffer(ROOMS)
    delta, gate, y = delta_u + 4 * ROOM, delta_u + 8 * ROOM, delta_u + 12 * ROOM
    for i in range(3):
        which = U + SEQUENCE * i
        if p[which] != 0 and not (which == Z and keeps):
            load(p, which, block, chunk, delta_u + 4 * ROOM * i, of)
    largest = _prepare(p, block, count, delta, delta_u, y)
    small = simd.all_less(largest * simd.load(decay, 16 * padded), simd.splat(SMALL))
    fours = states // 4 * 4 if small else 0
    at = count - 1 if backwards else 0
    by = -1 if backwards else 1
    for n in range(0, fours, 4):
        _four_states(delta, delta_u, y, vectors + 4 * n, padded, state + 64 * n, at, by, count)
    for n in range(fours, states):
        _one_state(delta, delta_u, y, vectors + 4 * n, padded, state + 64 * n, at, by, count)
    if adds or keeps:
        for i in range(count):
            row = 16 * simd.get_int(chunk.rows, chunk.start + i)
            out = simd.load(y, 16 * i)
            if adds:
                out = out + simd.load(sums, row)
            if keeps:
                simd.store(sums, row, out)
            else:
                simd.store(y, 16 * i, out * simd.splat(share))
    if not keeps:
        for j in range(2):
            which = UNGATED + SEQUENCE * j
            if which == Y and p[Z] != 0:
                for i in range(count):
                    simd.store(y, 16 * i, simd.load(y, 16 * i) * simd.silu(simd.load(gate, 16 * i)))
            if p[which] != 0:
                store(y, p, which, block, chunk, of)


@routine
def _prepare(p: Integers, block: Block, count: int, delta: int, delta_u: int, y: int) -> Any:
    """From delta and u (in `delta_u`): step sizes, their products with u, y = D u; the largest step size."""
    weight, bias = simd.splat(0.0), simd.splat(0.0)
    if p[D] != 0:
        weight = simd.load_some(p[D], block.route * p[CHANNELS] + block.channel, block.width)
    if p[BIAS] != 0:
        bias = simd.load_some(p[BIAS], block.route * p[CHANNELS] + block.channel, block.width)
    softplus = p[SOFTPLUS] != 0
    largest = simd.splat(0.0)
    for i in range(count):
        size = simd.load(delta, 16 * i) + bias
        u = simd.load(delta_u, 16 * i)
        if softplus:
            size = simd.softplus(size)
        simd.store(delta, 16 * i, size)
        simd.store(delta_u, 16 * i, size * u)
        simd.store(y, 16 * i, weight * u)
        largest = simd.larger_size(largest, size)
    return largest


@routine
def _four_states(
    delta: int, delta_u: int, y: int, b: int, padded: int, state: int, at: int, by: int, count: int
) -> None:
    """Four states through a chunk and their share of y, with small step sizes only; starts at place `at`."""
    c, decay = b + 4 * CHUNK * padded, state + 64 * padded
    h0, h1 = simd.load(state, 0), simd.load(state, 16)
    h2, h3 = simd.load(state, 32), simd.load(state, 48)
    a0, a1 = simd.load(decay, 0), simd.load(decay, 16)
    a2, a3 = simd.load(decay, 32), simd.load(decay, 48)
    i = at
    for _ in range(count):
        fed, out = simd.load(delta_u, 16 * i), simd.load(y, 16 * i)
        j = i * padded
        e0, e1, e2, e3 = simd.exp2_products(simd.load(delta, 16 * i), a0, a1, a2, a3)
        h0 = simd.fma(e0, h0, fed * simd.broadcast(b, j))
        h1 = simd.fma(e1, h1, fed * simd.broadcast(b, j + 1))
        h2 = simd.fma(e2, h2, fed * simd.broadcast(b, j + 2))
        h3 = simd.fma(e3, h3, fed * simd.broadcast(b, j + 3))
        out = simd.fma(h0, simd.broadcast(c, j), out)
        out = simd.fma(h1, simd.broadcast(c, j + 1), out)
        out = simd.fma(h2, simd.broadcast(c, j + 2), out)
        out = simd.fma(h3, simd.broadcast(c, j + 3), out)
        simd.store(y, 16 * i, out)
        i += by
    simd.store(state, 0, h0)
    simd.store(state, 16, h1)
    simd.store(state, 32, h2)
    simd.store(state, 48, h3)


@routine
def _one_state(
    delta: int, delta_u: int, y: int, b: int, padded: int, state: int, at: int, by: int, count: int
) -> None:
    """The same for one state and step sizes of any size."""
    c, decay = b + 4 * CHUNK * padded, state + 64 * padded
    h, a = simd.load(state, 0), simd.load(decay, 0)
    i = at
    for _ in range(count):
        j = i * padded
        grown = simd.load(delta_u, 16 * i) * simd.broadcast(b, j)
        h = simd.fma(simd.exp2(simd.load(delta, 16 * i) * a), h, grown)
        simd.store(y, 16 * i, simd.fma(h, simd.broadcast(c, j), simd.load(y, 16 * i)))
        i += by
    simd.store(state, 0, h)
