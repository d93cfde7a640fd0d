"""The backward of the scan over tasks, each a group of channel blocks of one image and route.

A task goes back through the chunks, and in each through the blocks of its group: the sums over channels (dB,
dC) of a chunk stay in the cache. What crosses tasks, sums over groups and images, is left in parts.
"""

from __future__ import annotations

from typing import Any

from archdsl.kernels.jit import kernel
from archdsl.kernels.selective_scan.numba.backward_memory import (
    B_AND_C,
    COLUMNS,
    PARAMETERS,
    Scan,
    place_rows,
    read_block,
    read_decays,
    read_numbers,
    write_block,
    write_sums,
    write_totals,
)
from archdsl.kernels.selective_scan.numba.backward_steps import (
    CHUNK,
    FLOAT,
    TILE,
    WIDTH,
    finish,
    four_states,
    one_state,
    prepare,
)
from archdsl.kernels.simd import (
    allocate,
    get_int,
    load_some,
    release,
    routine,
    splat,
    store,
    store_some,
)

LINE = 64
"""Bytes of a line of the cache."""
RUN = 8192
"""Numbers that one task of `add_parts` adds."""


def memory_of(scan: Scan) -> int:
    """Bytes of memory for tasks, one after the other: see `_tasks`."""
    vectors = scan.states * WIDTH
    blocks = -(-scan.channels // WIDTH)
    most = -(-blocks // scan.groups)
    chunks = 2 * scan.span * (CHUNK * scan.states + WIDTH + CHUNK * vectors)
    numbers = PARAMETERS + 2 * WIDTH + vectors + chunks + most * (3 * vectors + 2 * WIDTH) + TILE
    return FLOAT * numbers + LINE


@kernel
def scan_back(
    first: int, last: int, scan: Scan, table: int, reverse: int, memory: int, share: float, of: Any
) -> None:
    """Tasks `first` to `last` of (r, b, groups).

    Args:
        table: address of an int64 table, see `backward_memory.TABLE`.
        reverse: address of int64, for each route 1 where it is read from its end.
        memory: bytes of memory for it, see `memory_of`.
        share: what the gradient of the output is multiplied by for a route.
        of: tells the type of the sequences in memory, see `archdsl.kernels.simd`.
    """
    room = allocate(memory)
    _tasks(first, last, scan, table, reverse, room, share, of)
    release(room)


@routine
def _tasks(
    first: int, last: int, scan: Scan, table: int, reverse: int, memory: int, share: float, of: Any
) -> None:
    """What `scan_back` does, with memory for it."""
    states, vectors = scan.states, scan.states * WIDTH
    blocks = (scan.channels + WIDTH - 1) // WIDTH
    chunks = (scan.steps + CHUNK - 1) // CHUNK
    gated, softplused = get_int(table, 3 * COLUMNS) != 0, scan.softplus != 0
    D, bias, start = PARAMETERS, PARAMETERS + WIDTH, PARAMETERS + 2 * WIDTH
    # Of every chunk of a span numbers of B, then C; vectors of dB, then dC; of every block vectors of A, what
    # is carried, dA, sums.
    numbers = CHUNK * states + WIDTH
    B = start + vectors
    dB = B + 2 * scan.span * numbers
    first_own = dB + 2 * scan.span * CHUNK * vectors
    carried, dA, sums, size = vectors, 2 * vectors, 3 * vectors, 3 * vectors + 2 * WIDTH
    room = (memory + LINE - 1) // LINE * LINE
    zero = splat(0.0)
    for task in range(first, last):
        group, rest = task % scan.groups, task // scan.groups
        image, route = rest % scan.images, rest // scan.images
        first_block, end = group * blocks // scan.groups, (group + 1) * blocks // scan.groups
        for block in range(first_block, end):
            own = first_own + (block - first_block) * size
            read_decays(room, own, scan, route, block * WIDTH)
            for i in range(carried, size, WIDTH):
                store(room, own + i, zero)
        top = chunks
        while top > 0:
            low = top - scan.span if top > scan.span else 0
            for chunk in range(low, top):
                steps = scan.steps - chunk * CHUNK if chunk == chunks - 1 else CHUNK
                place_rows(room, scan, route, get_int(reverse, route), chunk * CHUNK, steps)
                for i in range(2):
                    which, to = B_AND_C + i, B + (2 * (chunk - low) + i) * numbers
                    read_numbers(room, to, table, which, route, image, steps, states, of)
            for i in range(0, (top - low) * 2 * CHUNK * vectors, WIDTH):
                store(room, dB + i, zero)
            for block in range(first_block, end):
                own = first_own + (block - first_block) * size
                for chunk in range(top - 1, low - 1, -1):
                    steps = scan.steps - chunk * CHUNK if chunk == chunks - 1 else CHUNK
                    if top - low > 1:
                        place_rows(room, scan, route, get_int(reverse, route), chunk * CHUNK, steps)
                    direct = scan.direct != 0 and scan.channels - block * WIDTH >= WIDTH
                    read_block(room, scan, table, reverse, route, image, chunk, steps, block, direct, of)
                    ahead = -CHUNK if direct and chunk else 0
                    prepare(room, steps, bias, own + sums, gated, softplused, ahead, share)
                    slot = chunk - low
                    n, v, b, db = 0, 0, B + 2 * slot * numbers, dB + 2 * slot * CHUNK * vectors
                    while n + 4 <= states:
                        four_states(room, steps, own + v, start + v, vectors, b + n, numbers, db + v, states)
                        n, v = n + 4, v + 4 * WIDTH
                    while n < states:
                        one_state(room, steps, own + v, start + v, vectors, b + n, numbers, db + v, states)
                        n, v = n + 1, v + WIDTH
                    finish(room, steps, D, own + sums, softplused, ahead)
                    if not direct:
                        write_block(room, scan, table, route, image, steps, block, of)
            for chunk in range(low, top):
                steps = scan.steps - chunk * CHUNK if chunk == chunks - 1 else CHUNK
                if top - low > 1:
                    place_rows(room, scan, route, get_int(reverse, route), chunk * CHUNK, steps)
                place = ((group * scan.routes + route) * scan.images + image) * scan.steps
                for i in range(2):
                    to, at = (
                        scan.c_parts if i else scan.b_parts,
                        dB + (2 * (chunk - low) + i) * CHUNK * vectors,
                    )
                    write_totals(room, at, to, place, steps, states)
            top = low
        for block in range(first_block, end):
            own = first_own + (block - first_block) * size
            write_sums(room, own + dA, own + sums, scan, image * scan.routes + route, block * WIDTH)


@kernel
def add_parts(first: int, last: int, sums: int, many_sums: int, of: Any) -> None:
    """Sums of parts, in their order; tasks are runs of `RUN` numbers of the first sum, then of the others.

    Args:
        sums: address of an int64 table, for each sum: address of the parts, their number, numbers in one,
            address of the sum, whether that is of the type `of` tells (else float32), first task.
    """
    _add_parts(first, last, sums, many_sums, of)


@routine
def _add_parts(first: int, last: int, sums: int, many_sums: int, of: Any) -> None:
    """What `add_parts` does."""
    for task in range(first, last):
        row = 0
        while row + 6 < 6 * many_sums and get_int(sums, row + 11) <= task:
            row += 6
        parts, many, size, to = (
            get_int(sums, row),
            get_int(sums, row + 1),
            get_int(sums, row + 2),
            get_int(sums, row + 3),
        )
        low = (task - get_int(sums, row + 5)) * RUN
        for i in range(low, low + RUN if low + RUN < size else size, WIDTH):
            count = WIDTH if size - i > WIDTH else size - i
            total = load_some(parts, i, count)
            for part in range(1, many):
                total = total + load_some(parts, part * size + i, count)
            if get_int(sums, row + 4):
                store_some(to, i, total, count, of)
            else:
                store_some(to, i, total, count)
