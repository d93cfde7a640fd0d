"""The operators of `archdsl.kernels` on tensors without numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from archdsl.tape.functions import exp, parameter, scaled, stack, zeros
from archdsl.tape.tensor import Tensor, fresh, keep

CHUNK = 32
"""Steps between two states that a scan saves, as in `archdsl.kernels.selective_scan`."""


class MixerRoute(NamedTuple):
    """One route of `mamba_inner`.

    Args:
        taps: of the convolution in front, 0 for none.
        bias: whether that has one.
        rank, state: of the scan.
        path: whether it reads the tokens in another order than their own, or their reverse.
    """

    taps: int
    bias: bool
    rank: int
    state: int
    path: bool = False


def decay_rates(like: Tensor, channels: int, state: int) -> Tensor:
    """A = -exp(A_log) (channels, state); keeps exp(A_log)."""
    return scaled(exp(parameter(like, channels, state)))


def selective_scan(u: Tensor, delta: Tensor, rates: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The scan of routes (r, b, l, d) that are not merged: keeps what it is given, and states on the way.

    Args:
        u, delta: (r, b, l, d).
        rates: A, (r, d, n).
        b, c: B and C, (r, b, l, n).
    """
    routes, batch, length, channels = u.shape
    states = (routes, batch, -(-length // CHUNK) + 1, rates.shape[-1], channels)
    keep(u, delta, rates, b, c, zeros(u, *states, grows=True))
    return fresh(u.shape, u, delta, b, c)


def mamba_inner(xz: Tensor, routes: Sequence[MixerRoute], gated: bool) -> Tensor:
    """The inside of a Mamba mixer in one operator, (b, l, e).

    Keeps its input, the projections, states on the way, the ungated result, and for several routes the
    stacked parameters and the paths, which don't grow with the batch.
    """
    batch, length, width = xz.shape
    channels = width // 2 if gated else width
    first = routes[0]
    count, rank, state = len(routes), first.rank, first.state
    keep(xz)
    weights = [(rank + 2 * state, channels), (channels, rank), (channels,), (channels, state), (channels,)]
    if first.taps:
        weights.append((channels, 1, first.taps))
        if first.bias:
            weights.append((channels,))
    if count > 1:
        keep(*(stack([parameter(xz, *shape)] * count, 0) for shape in weights))
    if any(route.path for route in routes):
        keep(zeros(xz, count, length, item=8))
    y = fresh((batch, length, channels), xz, gradient=True)
    keep(zeros(xz, count, batch, -(-length // CHUNK) + 1, state, channels, grows=True))
    keep(zeros(xz, count, batch, length, rank + 2 * state, grows=True))
    if gated:
        keep(zeros(xz, *y.shape, grows=True))
    return y
