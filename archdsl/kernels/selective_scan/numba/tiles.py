"""Chunks of a sequence on their way between memory and buffers of float32, 16 channels a step."""

from __future__ import annotations

from typing import Any, NamedTuple

from archdsl.kernels import simd
from archdsl.kernels.selective_scan.numba.packing import (
    CHANNELS,
    OF_CHANNEL,
    OF_IMAGE,
    OF_ROUTE,
    OF_STEP,
    PATHS,
    STATES,
    STEPS,
    STEPS_LAST,
    Integers,
)
from archdsl.kernels.simd import routine

ROOM = 32 * 16
"""float32 numbers in the buffer of a chunk: 16 for each place."""


class Block(NamedTuple):
    """Sixteen channels of one image in one route, or the `width` that are left."""

    route: int
    image: int
    channel: int
    width: int


class Chunk(NamedTuple):
    """At most 32 neighbouring places of a path, in the order of the path.

    Args:
        rows: address of the path: int64, the row of the sequence for each place.
        start: first place.
        places: how many there are.
        ahead: how many places further the next chunk is, for whoever asks for its memory early.
    """

    rows: int
    start: int
    places: int
    ahead: int


@routine
def load(p: Integers, which: int, block: Block, chunk: Chunk, to: int, of: Any) -> None:
    """A chunk of the sequence `which` of a packed scan; lanes behind the block copy one or are 0."""
    step, across = p[which + OF_STEP], p[which + OF_CHANNEL]
    offset = block.route * p[which + OF_ROUTE] + block.image * p[which + OF_IMAGE] + block.channel * across
    address = p[which] + of.size * offset
    if p[STEPS_LAST] == 0:
        last = p[STEPS] - 1
        for i in range(chunk.places):
            row = simd.get_int(chunk.rows, chunk.start + i)
            simd.store(to, 16 * i, simd.load_some(address, row * step, block.width, of))
            place = min(max(chunk.start + i + chunk.ahead, 0), last)
            simd.prefetch(address, simd.get_int(chunk.rows, place) * step, of)
    elif p[PATHS] == 0:
        for i in range(0, chunk.places, 16):
            some = min(16, chunk.places - i)
            first = chunk.start + i
            simd.load_transposed(address, first, across, block.width, some, to + 64 * i, of)
            for c in range(block.width):
                simd.prefetch(address, first + chunk.ahead + c * across, of)
    else:
        for i in range(chunk.places):
            row = simd.get_int(chunk.rows, chunk.start + i)
            simd.store(to, 16 * i, simd.splat(0.0))
            for c in range(block.width):
                simd.put(to, 16 * i + c, simd.get(address, row + c * across, of))


@routine
def store(at: int, p: Integers, which: int, block: Block, chunk: Chunk, of: Any) -> None:
    """The way back of `load`."""
    step, across = p[which + OF_STEP], p[which + OF_CHANNEL]
    offset = block.route * p[which + OF_ROUTE] + block.image * p[which + OF_IMAGE] + block.channel * across
    address = p[which] + of.size * offset
    if p[STEPS_LAST] == 0:
        last = p[STEPS] - 1
        for i in range(chunk.places):
            row = simd.get_int(chunk.rows, chunk.start + i)
            simd.store_some(address, row * step, simd.load(at, 16 * i), block.width, of)
            place = min(max(chunk.start + i + chunk.ahead, 0), last)
            simd.prefetch(address, simd.get_int(chunk.rows, place) * step, of)
    elif p[PATHS] == 0:
        for i in range(0, chunk.places, 16):
            some = min(16, chunk.places - i)
            first = chunk.start + i
            simd.store_transposed(at + 64 * i, address, first, across, block.width, some, of)
            for c in range(block.width):
                simd.prefetch(address, first + chunk.ahead + c * across, of)
    else:
        for i in range(chunk.places):
            row = simd.get_int(chunk.rows, chunk.start + i)
            for c in range(block.width):
                simd.put(address, row + c * across, simd.get(at, 16 * i + c), of)


@routine
def load_vectors(p: Integers, which: int, route: int, image: int, chunk: Chunk, to: int, of: Any) -> None:
    """A chunk of B or C; the states of a place start a multiple of 16 behind those of the one before."""
    states, step = p[STATES], p[which + OF_STEP]
    padded = (states + 15) // 16 * 16
    address = p[which] + of.size * (route * p[which + OF_ROUTE] + image * p[which + OF_IMAGE])
    for i in range(chunk.places):
        row = simd.get_int(chunk.rows, chunk.start + i) * step
        for n in range(0, states, 16):
            simd.store(to, i * padded + n, simd.load_some(address, row + n, min(16, states - n), of))


@routine
def load_decay(p: Integers, address: int, block: Block, to: int) -> None:
    """A block of A or the like (r, d, n): for every state a vector of channels, the last one repeated."""
    states = p[STATES]
    start = (block.route * p[CHANNELS] + block.channel) * states
    for n in range(0, states, 16):
        some = min(16, states - n)
        simd.load_transposed(address, start + n, states, block.width, some, to + 64 * n)
