"""The selective scan and its gradients in plain numpy, one step at a time, as the recurrence is written.

With g_t the gradient of the state h_t and dy_t that of the ungated output (Gu and Dao, arXiv 2312.00752):

    h_t = exp(x_t A) h_{t-1} + x_t u_t B_t            x_t = softplus(delta_t + bias)
    y_t = C_t . h_t + D u_t
    g_t = C_t dy_t + exp(x_{t+1} A) g_{t+1}

In float64. Shapes: r routes, b images, l steps, d channels, n states; steps in the order of reading.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHUNK = 32


class Scan(NamedTuple):
    """Arguments of one scan; names, shapes and meaning of `archdsl.kernels.selective_scan.Inputs`."""

    u: Array
    delta: Array
    A: Array
    B: Array
    C: Array
    D: Array | None
    z: Array | None
    delta_bias: Array | None
    paths: NDArray[np.int64] | None
    delta_softplus: bool
    reverse: tuple[bool, ...]
    merge: str


class Values(NamedTuple):
    """The output, states at every chunk's start and the end (r, b, chunks + 1, n, d), the ungated output."""

    y: Array
    states: Array
    ungated: Array


def rows_of(x: Scan, route: int) -> NDArray[np.int64]:
    """Rows of the sequence that a route reads, step by step."""
    length = x.u.shape[2]
    path = np.arange(length) if x.paths is None else x.paths[route]
    return path[::-1] if x.reverse[route] else path


def steps_of(x: Scan, route: int) -> tuple[Array, Array]:
    """Raw and final step sizes (b, l, d) of a route, in rows of the sequence."""
    raw = x.delta[route] if x.delta_bias is None else x.delta[route] + x.delta_bias[route]
    return raw, np.maximum(raw, 0) + np.log1p(np.exp(-np.abs(raw))) if x.delta_softplus else raw


def states_of(x: Scan, route: int) -> Array:
    """States (l + 1, b, d, n) of a route: before the first step, then after every step."""
    _, delta = steps_of(x, route)
    u, A, B = x.u[route], x.A[route], x.B[route]
    h = [np.zeros((u.shape[0], *A.shape))]
    for row in rows_of(x, route):
        step = delta[:, row, :, None]
        h.append(np.exp(step * A) * h[-1] + step * u[:, row, :, None] * B[:, row, None, :])
    return np.stack(h)


def forward(x: Scan) -> Values:
    """The output; (r, b, l, d), or (b, l, d) where routes are merged."""
    routes, _, length, _ = x.u.shape
    y, states = np.zeros(x.u.shape), []
    for route in range(routes):
        h = states_of(x, route)
        for t, row in enumerate(rows_of(x, route)):
            y[route, :, row] = (h[t + 1] * x.C[route, :, row, None, :]).sum(-1)
        if x.D is not None:
            y[route] += x.D[route] * x.u[route]
        states.append(h[[*range(0, length, CHUNK), length]].transpose(1, 0, 3, 2))
    if x.merge != "none":
        y = y.sum(0) / (routes if x.merge == "mean" else 1)
    return Values(y if x.z is None else y * x.z * sigmoid(x.z), np.stack(states), y)


def gradients(dout: Array, x: Scan) -> dict[str, Array]:
    """Gradients of the arrays by name, for the gradient `dout` of the output."""
    found = {name: np.zeros_like(v) for name, v in x._asdict().items() if isinstance(v, np.ndarray)}
    found.pop("paths", None)
    dy_merged = dout
    if x.z is not None:
        gate = sigmoid(x.z)
        dy_merged = dout * x.z * gate
        found["z"] = dout * forward(x).ungated * gate * (1 + x.z * (1 - gate))
    for route, (u, A, B, C) in enumerate(zip(x.u, x.A, x.B, x.C, strict=True)):
        dy = dy_merged[route] if x.merge == "none" else dy_merged
        dy = dy / x.u.shape[0] if x.merge == "mean" else dy
        h = states_of(x, route)
        raw, delta = steps_of(x, route)
        D = 0.0 if x.D is None else x.D[route]
        carried = np.zeros(h.shape[1:])
        d_delta = found["delta"][route]
        for t, row in reversed([*enumerate(rows_of(x, route))]):
            a = np.exp(delta[:, row, :, None] * A)
            g = C[:, row, None, :] * dy[:, row, :, None] + carried
            carried = a * g
            through_A = carried * h[t]
            through_B = (g * B[:, row, None, :]).sum(-1)
            found["C"][route, :, row] = (h[t + 1] * dy[:, row, :, None]).sum(-2)
            found["B"][route, :, row] = (g * (delta * u)[:, row, :, None]).sum(-2)
            found["A"][route] += (through_A * delta[:, row, :, None]).sum(0)
            found["u"][route, :, row] = delta[:, row] * through_B + D * dy[:, row]
            d_delta[:, row] = u[:, row] * through_B + (through_A * A).sum(-1)
        if x.delta_softplus:
            d_delta *= sigmoid(raw)
        if x.D is not None:
            found["D"][route] = (dy * u).sum((0, 1))
        if x.delta_bias is not None:
            found["delta_bias"][route] = d_delta.sum((0, 1))
    return found


def sigmoid(v: Array) -> Array:
    """1 / (1 + exp(-v)), for any size of v."""
    return 0.5 * (1 + np.tanh(0.5 * v))
