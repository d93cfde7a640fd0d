"""The selective scan in plain PyTorch: the formula, and the gradients derived from it by hand.

For every channel, with a state h of n numbers that starts at 0 (Gu and Dao, arXiv 2312.00752, eq. 2 and 4;
exact exponential for A, Euler step for B):

    delta_t <- softplus(delta_t + bias)
    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t
    y_t = C_t . h_t + D u_t

The products are formed for a run of steps at once, only the recurrence itself goes step by step.
Shapes inside: k steps of a run, b images, d channels, n states; a run is held in the order of reading.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.kernels.selective_scan.inputs import CHUNK, Gradients, Inputs, Outputs, empty, saved_states_shape

RUN_ELEMENTS = {"cpu": 2**18}
"""Numbers in one (k, b, d, n) buffer, by type of device: a few of them stay in the cache."""
RUN_ELEMENTS_ELSEWHERE = 2**24


def forward(x: Inputs, saves: bool) -> Outputs:
    """The output, with states and the output before the gate where `saves`."""
    with torch.autocast(x.u.device.type, enabled=False):
        shape = saved_states_shape(x.u, x.A) if saves else (0,)
        states = x.u.new_zeros(shape, dtype=x.state_dtype)
        merged = x.merge != "none"
        y = x.u.new_zeros(x.u.shape[1:] if merged else x.u.shape, dtype=x.state_dtype)
        for k in range(len(x.reverse)):
            route = _Route(x, k)
            into = y if merged else y[k]
            h_bdn = route.start()
            for rows in route.runs:
                run = _Run(route, rows)
                h_kbdn = run.states(h_bdn, route.buffer(1))
                if saves:
                    route.save(h_kbdn, rows.start, states[k])
                h_bdn = h_kbdn[-1].clone()
                route.add(run.output(h_kbdn), into, rows)
        if x.merge == "mean":
            y /= len(x.reverse)
        ungated = _written(y, x) if saves and x.z is not None else x.u.new_empty(0)
        if x.z is not None:
            y = y * F.silu(x.z.to(x.state_dtype))
        return Outputs(_written(y, x), states, ungated)


def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
    """Gradients of the inputs for the gradient `dout` of the output.

    With g_t the gradient of h_t: g_t = C_t dy_t + exp(delta_{t+1} A) g_{t+1}. The states are computed again,
    from those at the start of every run; those that the forward saved are not used.
    """
    with torch.autocast(x.u.device.type, enabled=False):
        dy = dout.to(x.state_dtype)
        dz = None
        if x.z is not None:
            z = x.z.to(x.state_dtype)
            gate = torch.sigmoid(z)
            dz = _written(dy * ungated.to(x.state_dtype) * gate * (1 + z * (1 - gate)), x)
            dy = dy * z * gate
        dy = dy * x.share
        du, ddelta, dB, dC = (v.new_empty(v.shape, dtype=x.state_dtype) for v in (x.u, x.delta, x.B, x.C))
        dA, bias = torch.zeros_like(x.A), x.A.new_zeros(x.A.shape[:2])
        dD, dbias = torch.zeros_like(bias), torch.zeros_like(bias)
        for k in range(len(x.reverse)):
            to = _Room(du[k], ddelta[k], dA[k], dB[k], dC[k], dD[k], dbias[k])
            _route_backward(_Route(x, k), dy if x.merge != "none" else dy[k], to)
        return Gradients(
            _written(du, x),
            _written(ddelta, x),
            dA,
            dB.to(x.B.dtype),
            dC.to(x.C.dtype),
            None if x.D is None else dD,
            dz,
            None if x.delta_bias is None else dbias,
        )


class _Room(NamedTuple):
    """Where the gradients of one route go."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    bias: Tensor


def _route_backward(route: _Route, dy_bld: Tensor, to: _Room) -> None:
    """Writes the gradients of one route."""
    starts = [route.start()]
    for rows in route.runs[:-1]:
        starts.append(_Run(route, rows).states(starts[-1], route.buffer(1))[-1].clone())
    carried_bdn = route.start()
    for rows, h_bdn in zip(reversed(route.runs), reversed(starts), strict=True):
        run = _Run(route, rows)
        h_kbdn = run.states(h_bdn, route.buffer(1))
        dy = route.load(dy_bld, rows)
        route.store((dy.unsqueeze(-2) @ h_kbdn).squeeze(-2), to.C, rows)

        g_kbdn = torch.mul(dy.unsqueeze(-1), run.C.unsqueeze(-2), out=route.buffer(2)[: run.length])
        g_kbdn[-1] += carried_bdn
        a, g = run.a.unbind(), g_kbdn.unbind()
        for t in range(run.length - 2, -1, -1):
            g[t].addcmul_(a[t + 1], g[t + 1])
        carried_bdn = run.a[0] * g_kbdn[0]

        through_B = (g_kbdn @ run.B.unsqueeze(-1)).squeeze(-1)
        route.store((run.delta_u.unsqueeze(-2) @ g_kbdn).squeeze(-2), to.B, rows)
        du_kbd = run.delta * through_B
        if route.D is not None:
            du_kbd = du_kbd + route.D * dy
            to.D.add_((dy * run.u).sum((0, 1)))
        route.store(du_kbd, to.u, rows)

        # From here on run.a holds g_t h_{t-1} exp(delta_t A), the gradient of delta_t A.
        decayed = run.a.mul_(g_kbdn)
        decayed[1:] *= h_kbdn[:-1]
        decayed[0] *= h_bdn
        to.A.add_(torch.einsum("kbdn,kbd->dn", decayed, run.delta))
        ddelta_kbd = run.u * through_B + torch.einsum("kbdn,dn->kbd", decayed, route.A)
        if route.x.delta_softplus:
            ddelta_kbd = ddelta_kbd * torch.sigmoid(run.raw_delta)
        to.bias.add_(ddelta_kbd.sum((0, 1)))
        route.store(ddelta_kbd, to.delta, rows)


def _written(y: Tensor, x: Inputs) -> Tensor:
    """In the type of the sequence and the memory order of `layout`."""
    return empty(tuple(y.shape), x.u.dtype, x.layout, x.u).copy_(y)


class _Route:
    """One route: its tensors, runs of steps in the order of reading, and buffers."""

    def __init__(self, x: Inputs, k: int) -> None:
        self.x = x
        self.k = k
        batch, length = x.u.shape[1:3]
        self.A = x.A[k]
        self.D = None if x.D is None else x.D[k]
        elements = RUN_ELEMENTS.get(x.u.device.type, RUN_ELEMENTS_ELSEWHERE)
        self.step = min(max(1, elements // max(1, batch * self.A.numel())), max(1, length))
        self.runs = [slice(i, min(i + self.step, length)) for i in range(0, length, self.step)]
        self.steps: Tensor | None = None if x.paths is None else x.paths[k]
        if x.reverse[k]:
            rows = torch.arange(length, device=x.u.device) if self.steps is None else self.steps
            self.steps = rows.flip(0)
        self._buffers: dict[int, Tensor] = {}

    def start(self) -> Tensor:
        """The state before the first step."""
        return self.A.new_zeros(self.x.u.shape[1], *self.A.shape)

    def buffer(self, which: int) -> Tensor:
        """Room for one run (k, b, d, n), the same at every call."""
        if which not in self._buffers:
            self._buffers[which] = self.A.new_empty(self.step, self.x.u.shape[1], *self.A.shape)
        return self._buffers[which]

    def load(self, v_bl: Tensor, rows: slice) -> Tensor:
        """Steps of (b, l, ...) as (k, b, ...) in the order of reading."""
        run = v_bl[:, rows] if self.steps is None else v_bl[:, self.steps[rows]]
        return run.transpose(0, 1).to(self.x.state_dtype)

    def store(self, v_kb: Tensor, to_bl: Tensor, rows: slice) -> None:
        """The reverse of `load`, into `to_bl`."""
        to_bl[:, rows if self.steps is None else self.steps[rows]] = v_kb.transpose(0, 1)

    def add(self, v_kb: Tensor, to_bl: Tensor, rows: slice) -> None:
        """Adds steps in the order of reading to their places in `to_bl`."""
        to_bl[:, rows if self.steps is None else self.steps[rows]] += v_kb.transpose(0, 1)

    def save(self, h_kbdn: Tensor, first: int, to: Tensor) -> None:
        """Keeps the states of a run that starts at step `first`: those behind every chunk and the last."""
        length = self.x.u.shape[2]
        for t in range(first, first + h_kbdn.shape[0]):
            if (t + 1) % CHUNK == 0 or t + 1 == length:
                to[:, (t + CHUNK) // CHUNK] = h_kbdn[t - first].transpose(-1, -2)


class _Run:
    """A run of steps: its inputs as (k, b, ...), and a_t = exp(delta_t A)."""

    def __init__(self, route: _Route, rows: slice) -> None:
        x, k = route.x, route.k
        self.route = route
        self.u = route.load(x.u[k], rows)
        self.B = route.load(x.B[k], rows)
        self.C = route.load(x.C[k], rows)
        self.length = self.u.shape[0]
        self.raw_delta = route.load(x.delta[k], rows)
        if x.delta_bias is not None:
            self.raw_delta = self.raw_delta + x.delta_bias[k]
        self.delta = F.softplus(self.raw_delta) if x.delta_softplus else self.raw_delta
        self.delta_u = self.delta * self.u
        self.a = torch.mul(self.delta.unsqueeze(-1), route.A, out=route.buffer(0)[: self.length]).exp_()

    def states(self, h_bdn: Tensor, room: Tensor) -> Tensor:
        """h after every step (k, b, d, n), in `room`; `h_bdn` is the state before the run."""
        h_kbdn = torch.mul(self.delta_u.unsqueeze(-1), self.B.unsqueeze(-2), out=room[: self.length])
        for a, h in zip(self.a, h_kbdn, strict=True):
            h_bdn = h.addcmul_(a, h_bdn)
        return h_kbdn

    def output(self, h_kbdn: Tensor) -> Tensor:
        """y (k, b, d) from the states."""
        y = (h_kbdn @ self.C.unsqueeze(-1)).squeeze(-1)
        return y if self.route.D is None else torch.addcmul(y, self.route.D, self.u)
