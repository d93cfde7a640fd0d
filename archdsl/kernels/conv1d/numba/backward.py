"""The backward on the CPU: 32 channels of one image at a time, all their steps.

Of each route, the gradient before silu is made in the order of reading, with zeros around it; the gradient of
the sequence is its convolution with the weights turned round.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archdsl.kernels import simd
from archdsl.kernels.conv1d.inputs import Gradients, Inputs
from archdsl.kernels.conv1d.numba.forward import load_as, load_up_to, parameters, start_at, store_as
from archdsl.kernels.conv1d.numba.packing import (
    BEFORE,
    BIAS,
    CHANNELS,
    DX,
    MARKS,
    MORE,
    OF_IMAGE,
    OF_ROUTE,
    OF_STEP,
    ROUTES,
    SILU,
    STEPS,
    TAPS,
    WEIGHT,
    Integers,
    X,
    Y,
    packed,
    row_of,
)
from archdsl.kernels.jit import kernel
from archdsl.kernels.parallel import spread
from archdsl.kernels.simd import routine

STRIP = 32
"""Channels of a task: two vectors."""


def backward(dout: Tensor, x: Inputs) -> Gradients:
    """Gradients for the gradient `dout` (r, b, l, d) of the result."""
    dx = torch.empty_like(x.x, memory_format=torch.contiguous_format)
    weight, bias = parameters(x)
    routes, taps, channels = weight.shape
    batch = x.x.shape[-3]
    sums = weight.new_empty(batch, routes, taps + 1, channels)
    tasks = batch * ((channels + STRIP - 1) // STRIP)
    p = packed(x, weight, bias, dout, dx, sums.data_ptr())
    memory = 4 * STRIP * (3 * (x.x.shape[-2] + 3) + 2 * taps)
    spread(_differentiate, tasks, p, memory, MARKS[x.x.dtype])
    total = sums.sum(0)
    return Gradients(
        dx,
        total[:, :taps].transpose(1, 2).to(x.weight.dtype).contiguous(),
        None if x.bias is None else total[:, taps].to(x.bias.dtype, copy=True),
    )


@kernel
def _differentiate(first: int, last: int, p: Integers, memory: int, of: Any) -> None:
    """The tasks `first` to `last`: strips of channels of the images, all routes."""
    place = simd.allocate(memory)
    _tasks(first, last, p, place, of)
    simd.release(place)


@routine
def _tasks(first: int, last: int, p: Integers, memory: int, of: Any) -> None:
    """What `_differentiate` does, with memory for it."""
    steps, channels, taps, before = p[STEPS], p[CHANNELS], p[TAPS], p[BEFORE]
    sums = p[MORE + p[ROUTES]]
    strips = (channels + STRIP - 1) // STRIP
    behind = taps - 1 - before
    padded = (steps + 3) // 4 * 4
    # x: (padded + taps - 1, STRIP), da: the same, in the order of reading; dx: (padded, STRIP), by row
    x = memory
    da = x + 4 * STRIP * (padded + taps - 1)
    dx = da + 4 * STRIP * (padded + taps - 1)
    common = p[X + OF_ROUTE] == 0 and p[DX + OF_ROUTE] == 0
    for task in range(first, last):
        image = task // strips
        begin = task % strips * STRIP
        end = min(begin + STRIP, channels)
        for route in range(p[ROUTES]):
            _read(x, p, X, route, image, begin, end, before, padded + taps - 1, of)
            _read(da, p, Y, route, image, begin, end, behind, padded + taps - 1, of)
            weight = p[WEIGHT] + 4 * route * taps * channels
            bias = 0 if p[BIAS] == 0 else p[BIAS] + 4 * route * channels
            to = sums + 4 * (image * p[ROUTES] + route) * (taps + 1) * channels
            for channel in range(begin, end, 16):
                width, at = min(16, channels - channel), 4 * (channel - begin)
                _before_silu(x + at, da + at + 4 * STRIP * behind, weight, bias, to, p, channel, width)
                adds = common and route > 0
                _turn_back(da + at, weight, dx + at, p, route, channel, width, adds)
            if not common or route == p[ROUTES] - 1:
                _write(dx, p, route, image, begin, end, of)


@routine
def _read(
    to: int,
    p: Integers,
    which: int,
    route: int,
    image: int,
    begin: int,
    end: int,
    before: int,
    count: int,
    of: Any,
) -> None:
    """A strip of a sequence in the order of reading, `before` rows of zeros in front, zeros behind."""
    start = p[which] + of.size * (route * p[which + OF_ROUTE] + image * p[which + OF_IMAGE])
    zero = simd.splat(0.0)
    for i in range(count):
        step = i - before
        inside = step >= 0 and step < p[STEPS]
        offset = p[which + OF_STEP] * row_of(p, route, step) if inside else 0
        for channel in range(begin, end, 16):
            value = load_as(start, offset + channel, min(16, end - channel), of) if inside else zero
            simd.store(to, STRIP * i + channel - begin, value)


@routine
def _before_silu(
    x: int, da: int, weight: int, bias: int, to: int, p: Integers, channel: int, width: int
) -> None:
    """From the gradient of the result that of what went into silu, in its place; those of taps and bias."""
    channels, taps, steps = p[CHANNELS], p[TAPS], p[STEPS]
    zero, one = simd.splat(0.0), simd.splat(1.0)
    for j in range(taps + 1):
        simd.store_some(to, j * channels + channel, zero, width)
    for t in range(0, steps, 4):
        at = STRIP * t
        g0, g1, g2, g3 = (
            simd.load(da, at),
            simd.load(da, at + STRIP),
            simd.load(da, at + 2 * STRIP),
            simd.load(da, at + 3 * STRIP),
        )
        if p[SILU] != 0:
            a0 = start_at(bias, channel, width)
            a1, a2, a3 = a0, a0, a0
            for j in range(taps):
                w, row = load_up_to(weight, j * channels + channel, width), at + STRIP * j
                a0 = simd.fma(w, simd.load(x, row), a0)
                a1 = simd.fma(w, simd.load(x, row + STRIP), a1)
                a2 = simd.fma(w, simd.load(x, row + 2 * STRIP), a2)
                a3 = simd.fma(w, simd.load(x, row + 3 * STRIP), a3)
            s0, s1, s2, s3 = simd.sigmoid(a0), simd.sigmoid(a1), simd.sigmoid(a2), simd.sigmoid(a3)
            g0 = g0 * s0 * simd.fma(a0, one - s0, one)
            g1 = g1 * s1 * simd.fma(a1, one - s1, one)
            g2 = g2 * s2 * simd.fma(a2, one - s2, one)
            g3 = g3 * s3 * simd.fma(a3, one - s3, one)
            simd.store(da, at, g0)
            simd.store(da, at + STRIP, g1)
            simd.store(da, at + 2 * STRIP, g2)
            simd.store(da, at + 3 * STRIP, g3)
        for j in range(taps):
            row, tap = at + STRIP * j, j * channels + channel
            total = simd.fma(g0, simd.load(x, row), load_up_to(to, tap, width))
            total = simd.fma(g1, simd.load(x, row + STRIP), total)
            more = simd.fma(g3, simd.load(x, row + 3 * STRIP), g2 * simd.load(x, row + 2 * STRIP))
            simd.store_some(to, tap, total + more, width)
        tap = taps * channels + channel
        simd.store_some(to, tap, load_up_to(to, tap, width) + ((g0 + g1) + (g2 + g3)), width)


@routine
def _turn_back(
    da: int, weight: int, dx: int, p: Integers, route: int, channel: int, width: int, adds: bool
) -> None:
    """The gradient of the sequence by row, or its sum with what is there; `da` begins with the zeros."""
    channels, taps, steps = p[CHANNELS], p[TAPS], p[STEPS]
    for t in range(0, steps, 4):
        at = STRIP * t
        a0 = simd.splat(0.0)
        a1, a2, a3 = a0, a0, a0
        for j in range(taps):
            w, row = load_up_to(weight, (taps - 1 - j) * channels + channel, width), at + STRIP * j
            a0 = simd.fma(w, simd.load(da, row), a0)
            a1 = simd.fma(w, simd.load(da, row + STRIP), a1)
            a2 = simd.fma(w, simd.load(da, row + 2 * STRIP), a2)
            a3 = simd.fma(w, simd.load(da, row + 3 * STRIP), a3)
        _put(dx, p, route, t, a0, adds)
        _put(dx, p, route, t + 1, a1, adds)
        _put(dx, p, route, t + 2, a2, adds)
        _put(dx, p, route, t + 3, a3, adds)


@routine
def _put(dx: int, p: Integers, route: int, step: int, value: Any, adds: bool) -> None:
    """A step's share of the gradient to its row; steps behind the sequence have none."""
    if step < p[STEPS]:
        row = STRIP * row_of(p, route, step)
        simd.store(dx, row, value + simd.load(dx, row) if adds else value)


@routine
def _write(dx: int, p: Integers, route: int, image: int, begin: int, end: int, of: Any) -> None:
    """A strip of the gradient of the sequence to its place."""
    size = of.size
    start = p[DX] + size * (route * p[DX + OF_ROUTE] + image * p[DX + OF_IMAGE])
    for row in range(p[STEPS]):
        for channel in range(begin, end, 16):
            value = simd.load(dx, STRIP * row + channel - begin)
            store_as(start, row * p[DX + OF_STEP] + channel, value, min(16, end - channel), of)
