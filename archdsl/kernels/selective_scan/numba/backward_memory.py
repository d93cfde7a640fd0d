"""What the backward of the scan reads and writes for a chunk of steps and a block of sixteen channels."""

from __future__ import annotations

from typing import Any, NamedTuple

from archdsl.kernels.selective_scan.numba.backward_steps import (
    CHUNK,
    END,
    FLOAT,
    PLACES,
    SEQUENCES,
    TILE,
    WIDTH,
)
from archdsl.kernels.simd import (
    get,
    get_int,
    load,
    load_some,
    prefetch,
    put,
    put_int,
    routine,
    splat,
    store,
    store_some,
    totals,
    turn,
)

LOG2_E = 1.4426950408889634
ROWS = END
"""Places in the sequence of the chunk's steps, then of the next chunk's; int64."""
TURNED = ROWS + 4 * CHUNK
"""A tile on its way to or from memory."""
PARAMETERS = TURNED + TILE + WIDTH
"""Of the block: D, bias, the states of the chunk's start."""
COLUMNS = 5
INPUTS = 5
UNGATED, DZ = 4, 7
B_AND_C = 8
TABLE = ("u", "delta", "dout", "z", "ungated", "du", "ddelta", "dz", "B", "C")
"""Rows of `table`: address (0: there is none), then strides in elements along routes, images, steps and
channels (for B and C states). A merged output has no stride along routes."""


class Scan(NamedTuple):
    """Sizes, flags (0, 1) and addresses of a call of `scan_back`; an address is 0 where there is nothing.

    Args:
        routes, images, steps, channels, states: r, b, l, d, n of `Inputs`.
        groups: into how many the blocks of channels are divided.
        span: how many chunks a block goes through before the next block does.
        transposed: the layout is `bdl`.
        direct: blocks of sixteen channels can be read and written where they are.
        merged: routes share z, the gradient of the output and dz.
        A, D, bias, saved, paths: of `Inputs`; `saved` is `Outputs.states`.
        b_parts, c_parts: (groups, r, b, l, n) sums over the channels of a group.
        a_parts: (b, r, d, n) sums over steps.
        d_parts, bias_parts: (b, r, d) sums over steps.
    """

    routes: int
    images: int
    steps: int
    channels: int
    states: int
    groups: int
    span: int
    softplus: int
    transposed: int
    merged: int
    direct: int
    A: int
    D: int
    bias: int
    saved: int
    paths: int
    a_parts: int
    b_parts: int
    c_parts: int
    d_parts: int
    bias_parts: int


@routine
def place_rows(room: int, scan: Scan, route: int, backward: int, first: int, steps: int) -> None:
    """Where the chunk's steps are in the sequence, then those of the next chunk, the one before it."""
    for t in range(2 * CHUNK):
        step = first + (t if t < steps else steps - 1)
        if t >= CHUNK:
            step = first + t - 2 * CHUNK if first else 0
        step = scan.steps - 1 - step if backward else step
        row = get_int(scan.paths, route * scan.steps + step) if scan.paths else step
        put_int(room + ROWS * FLOAT, t, row)


@routine
def beginning(table: int, which: int, route: int, image: int, channel: int) -> int:
    """Offset of a sequence's first row, in elements."""
    row = which * COLUMNS
    images = get_int(table, row + 1) * route + get_int(table, row + 2) * image
    return images + get_int(table, row + 4) * channel  # type: ignore[no-any-return]


@routine
def read_tile(
    room: int, tile: int, scan: Scan, table: int, which: int, start: int, steps: int, count: int, of: Any
) -> None:
    """`count` channels of the chunk's rows to a tile, 0 in the other channels.

    Where steps are last, the lines of a channel are read one behind the other, which caches foresee.
    """
    rows, turned, zero = room + ROWS * FLOAT, TURNED + WIDTH * WIDTH, splat(0.0)
    address, row = get_int(table, which * COLUMNS), get_int(table, which * COLUMNS + 3)
    channel = get_int(table, which * COLUMNS + 4)
    first, final = get_int(rows, 0), get_int(rows, steps - 1)
    if not scan.transposed:
        for t in range(steps):
            place = start + get_int(rows, t) * row
            store(room, tile + t * WIDTH, load_some(address, place, count, of))
            prefetch(address, start + get_int(rows, t + CHUNK) * row, of)
    elif scan.paths:
        for t in range(steps):
            place = start + get_int(rows, t) * row
            store(room, tile + t * WIDTH, zero)
            for j in range(count):
                put(room, tile + t * WIDTH + j, get(address, place + j * channel, of))
    else:
        place = start + (first if first < final else final) * row
        ahead = CHUNK if first > final else -CHUNK
        for i in range(0, steps, WIDTH):
            half = i if first > final else (steps - 1) // WIDTH * WIDTH - i
            some = WIDTH if steps - half > WIDTH else steps - half
            for j in range(WIDTH):
                numbers = load_some(address, place + half + j * channel, some, of) if j < count else zero
                store(room, TURNED + j * WIDTH, numbers)
                prefetch(address, place + half + ahead + j * channel, of)
            turn(room, TURNED, turned)
            for t in range(half, half + some):
                step = t if first < final else steps - 1 - t
                store(room, tile + step * WIDTH, load(room, turned + (t - half) * WIDTH))


@routine
def write_tile(
    room: int, tile: int, scan: Scan, table: int, which: int, start: int, steps: int, count: int, of: Any
) -> None:
    """The way back of `read_tile`."""
    rows, turned = room + ROWS * FLOAT, TURNED + WIDTH * WIDTH
    address, row = get_int(table, which * COLUMNS), get_int(table, which * COLUMNS + 3)
    channel = get_int(table, which * COLUMNS + 4)
    first, final = get_int(rows, 0), get_int(rows, steps - 1)
    if not scan.transposed:
        for t in range(steps):
            place = start + get_int(rows, t) * row
            store_some(address, place, load(room, tile + t * WIDTH), count, of)
            prefetch(address, start + get_int(rows, t + CHUNK) * row, of)
    elif scan.paths:
        for t in range(steps):
            place = start + get_int(rows, t) * row
            for j in range(count):
                put(address, place + j * channel, get(room, tile + t * WIDTH + j), of)
    else:
        place = start + (first if first < final else final) * row
        ahead = CHUNK if first > final else -CHUNK
        for i in range(0, steps, WIDTH):
            half = i if first > final else (steps - 1) // WIDTH * WIDTH - i
            some = WIDTH if steps - half > WIDTH else steps - half
            for t in range(half, half + some):
                step = t if first < final else steps - 1 - t
                store(room, TURNED + (t - half) * WIDTH, load(room, tile + step * WIDTH))
            turn(room, TURNED, turned)
            for j in range(count):
                numbers = load(room, turned + j * WIDTH)
                store_some(address, place + half + j * channel, numbers, some, of)
                prefetch(address, place + half + ahead + j * channel, of)


@routine
def read_block(
    room: int,
    scan: Scan,
    table: int,
    reverse: int,
    route: int,
    image: int,
    chunk: int,
    steps: int,
    block: int,
    direct: bool,
    of: Any,
) -> None:
    """What a block needs for a chunk: D, bias, first states, and its sequences, in place where `direct`."""
    channel, places, zero = block * WIDTH, room + PLACES * FLOAT, splat(0.0)
    count = WIDTH if scan.channels - channel > WIDTH else scan.channels - channel
    number = route * scan.channels + channel
    store(room, PARAMETERS, load_some(scan.D, number, count) if scan.D else zero)
    store(room, PARAMETERS + WIDTH, load_some(scan.bias, number, count) if scan.bias else zero)
    chunks = (scan.steps + CHUNK - 1) // CHUNK
    saved = ((route * scan.images + image) * (chunks + 1) + chunk) * scan.states
    for n in range(scan.states):
        start = load_some(scan.saved, (saved + n) * scan.channels + channel, count)
        prefetch(scan.saved, (saved - scan.states + n) * scan.channels + channel)
        store(room, PARAMETERS + (2 + n) * WIDTH, start)
    for which in range(SEQUENCES):
        row = which * COLUMNS
        other = scan.merged and route and which in (UNGATED, DZ)
        there = get_int(table, row) != 0 and not other
        begin = beginning(table, which, route, image, channel)
        if direct and there:
            stride = get_int(table, row + 3)
            begin += get_int(room + ROWS * FLOAT, 0) * stride
            put_int(places, 2 * which, get_int(table, row) + begin * FLOAT)
            put_int(places, 2 * which + 1, -stride if get_int(reverse, route) else stride)
        else:
            put_int(places, 2 * which, room + which * TILE * FLOAT)
            put_int(places, 2 * which + 1, WIDTH)
            if there and which < INPUTS:
                read_tile(room, which * TILE, scan, table, which, begin, steps, count, of)


@routine
def write_block(
    room: int, scan: Scan, table: int, route: int, image: int, steps: int, block: int, of: Any
) -> None:
    """du, ddelta and dz of a block from their tiles; dz of merged routes is the first one's."""
    channel = block * WIDTH
    count = WIDTH if scan.channels - channel > WIDTH else scan.channels - channel
    for which in range(INPUTS, SEQUENCES):
        row = which * COLUMNS
        if get_int(table, row) != 0 and not (scan.merged and route and which == DZ):
            begin = beginning(table, which, route, image, channel)
            write_tile(room, which * TILE, scan, table, which, begin, steps, count, of)


@routine
def read_numbers(
    room: int, to: int, table: int, which: int, route: int, image: int, steps: int, states: int, of: Any
) -> None:
    """B or C of the chunk's steps."""
    column = which * COLUMNS
    address, row = get_int(table, column), get_int(table, column + 3)
    start = get_int(table, column + 1) * route + get_int(table, column + 2) * image
    for t in range(steps):
        place = start + get_int(room + ROWS * FLOAT, t) * row
        for n in range(0, states, WIDTH):
            some = WIDTH if states - n > WIDTH else states - n
            store(room, to + t * states + n, load_some(address, place + n, some, of))


@routine
def write_totals(room: int, sums: int, to: int, start: int, steps: int, states: int) -> None:
    """dB or dC of the chunk's steps from vectors of partial sums, in whose place the sums are put."""
    for i in range(0, steps * states, WIDTH):
        store(room, sums + i, totals(room, sums + i * WIDTH))
    for t in range(steps):
        place = (start + get_int(room + ROWS * FLOAT, t)) * states
        for n in range(0, states, WIDTH):
            some = WIDTH if states - n > WIDTH else states - n
            store_some(to, place + n, load(room, sums + t * states + n), some)


@routine
def read_decays(room: int, to: int, scan: Scan, route: int, channel: int) -> None:
    """A / ln 2 of a block, 0 behind the last channel."""
    zero, scale = splat(0.0), splat(LOG2_E)
    place, turned = route * scan.channels + channel, TURNED + WIDTH * WIDTH
    for n in range(0, scan.states, WIDTH):
        some = WIDTH if scan.states - n > WIDTH else scan.states - n
        for j in range(WIDTH):
            there = channel + j < scan.channels
            numbers = load_some(scan.A, (place + j) * scan.states + n, some) * scale if there else zero
            store(room, TURNED + j * WIDTH, numbers)
        turn(room, TURNED, turned)
        for i in range(some):
            store(room, to + (n + i) * WIDTH, load(room, turned + i * WIDTH))


@routine
def write_sums(room: int, dA: int, sums: int, scan: Scan, which: int, channel: int) -> None:
    """dA, dD and dbias of a block."""
    place, left = which * scan.channels + channel, scan.channels - channel
    count = WIDTH if left > WIDTH else left
    for n in range(0, scan.states, WIDTH):
        some = WIDTH if scan.states - n > WIDTH else scan.states - n
        turn(room, dA + n * WIDTH, TURNED)
        for j in range(count):
            store_some(scan.a_parts, (place + j) * scan.states + n, load(room, TURNED + j * WIDTH), some)
    if scan.d_parts:
        store_some(scan.d_parts, place, load(room, sums), count)
    if scan.bias_parts:
        store_some(scan.bias_parts, place, load(room, sums + WIDTH), count)
