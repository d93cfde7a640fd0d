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

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.kernels.selective_scan.inputs import Gradients, Inputs

RUN_ELEMENTS = {"cpu": 2**18}
"""Numbers in one (k, b, d, n) buffer, by type of device: a few of them stay in the cache."""
RUN_ELEMENTS_ELSEWHERE = 2**24


def forward(x: Inputs) -> Tensor:
    """The output (b, l, d) in the type of the sequence."""
    with torch.autocast(x.u.device.type, enabled=False):
        y_bld = torch.empty_like(x.u, memory_format=torch.contiguous_format)
        scan = _Scan(x)
        h_bdn = scan.start()
        for rows in scan.runs:
            run = _Run(scan, rows)
            h_kbdn = run.states(h_bdn, scan.buffer(1))
            h_bdn = h_kbdn[-1].clone()
            y_kbd = run.output(h_kbdn)
            if run.z is not None:
                y_kbd = y_kbd * F.silu(run.z)
            scan.store(y_kbd, y_bld, rows)
        return y_bld


def backward(dout: Tensor, x: Inputs) -> Gradients:
    """Gradients of the inputs for the gradient `dout` (b, l, d) of the output.

    With g_t the gradient of h_t: g_t = C_t dy_t + exp(delta_{t+1} A) g_{t+1}. The states are computed again,
    from those at the start of every run.
    """
    with torch.autocast(x.u.device.type, enabled=False):
        scan = _Scan(x)
        starts = [scan.start()]
        for rows in scan.runs[:-1]:
            starts.append(_Run(scan, rows).states(starts[-1], scan.buffer(1))[-1].clone())

        du, ddelta, dB, dC = (
            torch.empty_like(v, memory_format=torch.contiguous_format) for v in (x.u, x.delta, x.B, x.C)
        )
        dz = None if x.z is None else torch.empty_like(x.z, memory_format=torch.contiguous_format)
        dA = torch.zeros_like(scan.A)
        dD, dbias = torch.zeros_like(scan.bias), torch.zeros_like(scan.bias)
        carried_bdn = scan.start()
        for rows, h_bdn in zip(reversed(scan.runs), reversed(starts), strict=False):
            run = _Run(scan, rows)
            h_kbdn = run.states(h_bdn, scan.buffer(1))
            dy = scan.load(dout, rows)
            if run.z is not None:
                gate = torch.sigmoid(run.z)
                dz_kbd = dy * run.output(h_kbdn) * gate * (1 + run.z * (1 - gate))
                dy = dy * run.z * gate
                assert dz is not None
                scan.store(dz_kbd, dz, rows)
            scan.store((dy.unsqueeze(-2) @ h_kbdn).squeeze(-2), dC, rows)

            g_kbdn = torch.mul(dy.unsqueeze(-1), run.C.unsqueeze(-2), out=scan.buffer(2)[: run.length])
            g_kbdn[-1] += carried_bdn
            a, g = run.a.unbind(), g_kbdn.unbind()
            for t in range(run.length - 2, -1, -1):
                g[t].addcmul_(a[t + 1], g[t + 1])
            carried_bdn = run.a[0] * g_kbdn[0]

            through_B = (g_kbdn @ run.B.unsqueeze(-1)).squeeze(-1)
            scan.store((run.delta_u.unsqueeze(-2) @ g_kbdn).squeeze(-2), dB, rows)
            du_kbd = run.delta * through_B
            if scan.D is not None:
                du_kbd = du_kbd + scan.D * dy
                dD += (dy * run.u).sum((0, 1))
            scan.store(du_kbd, du, rows)

            # From here on run.a holds g_t h_{t-1} exp(delta_t A), the gradient of delta_t A.
            decayed = run.a.mul_(g_kbdn)
            decayed[1:] *= h_kbdn[:-1]
            decayed[0] *= h_bdn
            dA += torch.einsum("kbdn,kbd->dn", decayed, run.delta)
            ddelta_kbd = run.u * through_B + torch.einsum("kbdn,dn->kbd", decayed, scan.A)
            if x.delta_softplus:
                ddelta_kbd = ddelta_kbd * torch.sigmoid(run.raw_delta)
            dbias += ddelta_kbd.sum((0, 1))
            scan.store(ddelta_kbd, ddelta, rows)
        return Gradients(
            du,
            ddelta,
            dA.to(x.A.dtype),
            dB,
            dC,
            None if x.D is None else dD.to(x.D.dtype),
            dz,
            None if x.delta_bias is None else dbias.to(x.delta_bias.dtype),
        )


class _Scan:
    """The whole scan: parameters in the type of the state, runs of steps in the order of reading, buffers."""

    def __init__(self, x: Inputs) -> None:
        self.x = x
        batch, length, channels = x.u.shape
        self.A = x.A.to(x.state_dtype)
        self.D = None if x.D is None else x.D.to(x.state_dtype)
        zeros = self.A.new_zeros(channels)
        self.bias = zeros if x.delta_bias is None else x.delta_bias.to(x.state_dtype)
        elements = RUN_ELEMENTS.get(x.u.device.type, RUN_ELEMENTS_ELSEWHERE)
        self.step = min(max(1, elements // max(1, batch * self.A.numel())), max(1, length))
        starts = range(0, length, self.step)
        self.runs = [slice(i, min(i + self.step, length)) for i in starts]
        if x.reverse:
            self.runs = [slice(length - r.stop, length - r.start) for r in self.runs]
        self._buffers: dict[int, Tensor] = {}

    def start(self) -> Tensor:
        """The state before the first step."""
        return self.A.new_zeros(self.x.u.shape[0], *self.A.shape)

    def buffer(self, which: int) -> Tensor:
        """Room for one run (k, b, d, n), the same at every call."""
        if which not in self._buffers:
            self._buffers[which] = self.A.new_empty(self.step, self.x.u.shape[0], *self.A.shape)
        return self._buffers[which]

    def load(self, v_bl: Tensor, rows: slice) -> Tensor:
        """Rows of (b, l, ...) as (k, b, ...) in the order of reading."""
        run = v_bl[:, rows].transpose(0, 1).to(self.x.state_dtype)
        return run.flip(0) if self.x.reverse else run

    def store(self, v_kb: Tensor, to_bl: Tensor, rows: slice) -> None:
        """The reverse of `load`, into `to_bl`."""
        to_bl[:, rows] = (v_kb.flip(0) if self.x.reverse else v_kb).transpose(0, 1)


class _Run:
    """A run of steps: its inputs as (k, b, ...), and a_t = exp(delta_t A)."""

    def __init__(self, scan: _Scan, rows: slice) -> None:
        x = scan.x
        self.scan = scan
        self.u = scan.load(x.u, rows)
        self.B = scan.load(x.B, rows)
        self.C = scan.load(x.C, rows)
        self.z = None if x.z is None else scan.load(x.z, rows)
        self.length = self.u.shape[0]
        self.raw_delta = scan.load(x.delta, rows)
        if x.delta_bias is not None:
            self.raw_delta = self.raw_delta + scan.bias
        self.delta = F.softplus(self.raw_delta) if x.delta_softplus else self.raw_delta
        self.delta_u = self.delta * self.u
        self.a = torch.mul(self.delta.unsqueeze(-1), scan.A, out=scan.buffer(0)[: self.length]).exp_()

    def states(self, h_bdn: Tensor, room: Tensor) -> Tensor:
        """h after every step (k, b, d, n), in `room`; `h_bdn` is the state before the run."""
        h_kbdn = torch.mul(self.delta_u.unsqueeze(-1), self.B.unsqueeze(-2), out=room[: self.length])
        for a, h in zip(self.a, h_kbdn, strict=True):
            h_bdn = h.addcmul_(a, h_bdn)
        return h_kbdn

    def output(self, h_kbdn: Tensor) -> Tensor:
        """y (k, b, d) from the states."""
        y = (h_kbdn @ self.C.unsqueeze(-1)).squeeze(-1)
        return y if self.scan.D is None else torch.addcmul(y, self.scan.D, self.u)
