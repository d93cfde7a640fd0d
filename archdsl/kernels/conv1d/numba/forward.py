"""The forward on the CPU: 64 steps at a time, 16 channels in a vector, weights loaded once for four steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archdsl.kernels import simd
from archdsl.kernels.conv1d.inputs import Inputs
from archdsl.kernels.conv1d.numba.packing import (
    BEFORE,
    BIAS,
    CHANNELS,
    MARKS,
    ROUTES,
    SILU,
    STEPS,
    TAPS,
    WEIGHT,
    Integers,
    X,
    Y,
    packed,
    place_rows,
)
from archdsl.kernels.jit import kernel
from archdsl.kernels.parallel import spread
from archdsl.kernels.simd import routine

BLOCK = 64


def forward(x: Inputs) -> Tensor:
    """The result (r, b, l, d) in the type of the sequence."""
    routes = len(x.reverse)
    y = x.x.new_empty(routes, *x.x.shape[-3:])
    weight, bias = parameters(x)
    _, batch, length, _ = y.shape
    tasks = batch * ((length + BLOCK - 1) // BLOCK)
    spread(_convolve, tasks, packed(x, weight, bias, y), _memory(weight), MARKS[x.x.dtype])
    return y


def _memory(weight: Tensor) -> int:
    """Bytes of memory for tasks, one after the other: see `_tasks`."""
    _, taps, channels = weight.shape
    return 8 * (2 * BLOCK + taps + taps % 2) + 128 * -(-channels // 16)


def parameters(x: Inputs) -> tuple[Tensor, Tensor | None]:
    """Weights (r, k, d) and bias (r, d) in float32."""
    weight = x.weight.transpose(1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return weight.contiguous(), None if x.bias is None else x.bias.float()


@kernel
def _convolve(first: int, last: int, p: Integers, memory: int, of: Any) -> None:
    """The tasks `first` to `last`: blocks of steps of the images, all routes."""
    place = simd.allocate(memory)
    _tasks(first, last, p, place, of)
    simd.release(place)


@routine
def _tasks(first: int, last: int, p: Integers, memory: int, of: Any) -> None:
    """What `_convolve` does, with memory for it."""
    steps, channels, taps = p[STEPS], p[CHANNELS], p[TAPS]
    blocks = (steps + BLOCK - 1) // BLOCK
    # Addresses of rows to read and to write; a row of zeros, and one that nobody reads.
    read = memory
    write = read + 8 * (BLOCK + taps)
    zeros = write + 8 * BLOCK
    padded = (channels + 15) // 16 * 16
    for i in range(0, padded, 16):
        simd.store(zeros, i, simd.splat(0.0))
    for task in range(first, last):
        image = task // blocks
        start = task % blocks * BLOCK
        count = min(BLOCK, steps - start)
        for route in range(p[ROUTES]):
            place_rows(read, p, X, route, image, start - p[BEFORE], BLOCK + taps - 1, zeros, of)
            place_rows(write, p, Y, route, image, start, BLOCK, zeros + 4 * padded, of)
            weight = p[WEIGHT] + 4 * route * taps * channels
            bias = 0 if p[BIAS] == 0 else p[BIAS] + 4 * route * channels
            for i in range(0, count, 4):
                _four_steps(read + 8 * i, write + 8 * i, weight, bias, channels, taps, p[SILU] != 0, of)


@routine
def _four_steps(
    read: int, write: int, weight: int, bias: int, channels: int, taps: int, silu: bool, of: Any
) -> None:
    """All channels of four steps; the tables start at the row of the first tap, and at the row written to.

    Steps behind the sequence go to a row that nobody reads.
    """
    even = channels // 16 * 16
    for channel in range(0, even, 16):
        _four_vectors(read, write, weight, bias, channels, taps, silu, channel, 16, of)
    if even < channels:
        _four_vectors(read, write, weight, bias, channels, taps, silu, even, channels - even, of)


@routine
def _four_vectors(
    read: int,
    write: int,
    weight: int,
    bias: int,
    channels: int,
    taps: int,
    silu: bool,
    channel: int,
    width: int,
    of: Any,
) -> None:
    """The same for `width` channels."""
    a0 = start_at(bias, channel, width)
    a1, a2, a3 = a0, a0, a0
    for j in range(taps):
        w = load_up_to(weight, j * channels + channel, width)
        a0 = simd.fma(w, load_as(simd.get_int(read, j), channel, width, of), a0)
        a1 = simd.fma(w, load_as(simd.get_int(read, j + 1), channel, width, of), a1)
        a2 = simd.fma(w, load_as(simd.get_int(read, j + 2), channel, width, of), a2)
        a3 = simd.fma(w, load_as(simd.get_int(read, j + 3), channel, width, of), a3)
    if silu:
        a0, a1, a2, a3 = simd.silu(a0), simd.silu(a1), simd.silu(a2), simd.silu(a3)
    store_as(simd.get_int(write, 0), channel, a0, width, of)
    store_as(simd.get_int(write, 1), channel, a1, width, of)
    store_as(simd.get_int(write, 2), channel, a2, width, of)
    store_as(simd.get_int(write, 3), channel, a3, width, of)


@routine
def start_at(bias: int, channel: int, width: int) -> Any:
    """The bias of a block of channels, 0 without one."""
    return simd.splat(0.0) if bias == 0 else load_up_to(bias, channel, width)


@routine
def load_up_to(address: int, offset: int, width: int) -> Any:
    """The first `width` of 16 float32."""
    return simd.load(address, offset) if width == 16 else simd.load_some(address, offset, width)


@routine
def load_as(address: int, offset: int, width: int, of: Any) -> Any:
    """The first `width` of 16 numbers of a sequence."""
    return simd.load(address, offset, of) if width == 16 else simd.load_some(address, offset, width, of)


@routine
def store_as(address: int, offset: int, value: Any, width: int, of: Any) -> None:
    """The first `width` lanes to a sequence."""
    if width == 16:
        simd.store(address, offset, value, of)
    else:
        simd.store_some(address, offset, value, width, of)
