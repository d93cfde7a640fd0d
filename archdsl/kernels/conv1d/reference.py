"""The depthwise convolution along the sequence in plain PyTorch, with the gradients derived by hand.

In the order of reading, with zeros outside the sequence (Gu and Dao, arXiv 2312.00752, section 3.4):

    y_t = bias + sum_j weight_j x_{t + j - (k - 1 - behind)},   then silu where asked

Computed in float32 at least.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.kernels.conv1d.inputs import Gradients, Inputs


def forward(x: Inputs) -> Tensor:
    """The result (r, b, l, d) in the type of the sequence, contiguous."""
    with torch.autocast(x.x.device.type, enabled=False):
        y = x.x.new_empty(len(x.reverse), *x.x.shape[-3:])
        for route in range(len(x.reverse)):
            read = _Route(x, route)
            a = read.linear()
            read.store(F.silu(a) if x.silu else a, y[route])
        return y


def backward(dout: Tensor, x: Inputs) -> Gradients:
    """Gradients of the inputs for the gradient `dout` (r, b, l, d) of the result."""
    with torch.autocast(x.x.device.type, enabled=False):
        dx = torch.empty_like(x.x, memory_format=torch.contiguous_format)
        total: Tensor | None = None
        dweight, dbias = [], []
        for route in range(len(x.reverse)):
            read = _Route(x, route)
            da = read.load(dout[route])
            if x.silu:
                a = read.linear()
                s = torch.sigmoid(a)
                da = da * s * (1 + a * (1 - s))
            length, taps = da.shape[1], read.weight.shape[1]
            around = torch.zeros_like(read.around)
            for j in range(taps):
                around[:, j : j + length] += read.weight[:, j] * da
            dweight.append(
                torch.stack([(da * read.around[:, j : j + length]).sum((0, 1)) for j in range(taps)], dim=1)
            )
            dbias.append(da.sum((0, 1)))
            inside = around[:, taps - 1 - x.behind : around.shape[1] - x.behind]
            if x.common:
                one = read.store(inside, torch.empty_like(inside))
                total = one if total is None else total + one
            else:
                read.store(inside, dx[route])
        if total is not None:
            dx.copy_(total)
        return Gradients(
            dx,
            torch.stack(dweight).to(x.weight.dtype),
            None if x.bias is None else torch.stack(dbias).to(x.bias.dtype),
        )


class _Route:
    """One route: its sequence in the order of reading with the zeros around it, its weights."""

    def __init__(self, x: Inputs, route: int) -> None:
        self.dtype = torch.promote_types(x.x.dtype, torch.float32)
        self.reverse = x.reverse[route]
        self.path = None if x.paths is None else x.paths[route]
        self.weight = x.weight[route].to(self.dtype)
        self.bias = None if x.bias is None else x.bias[route].to(self.dtype)
        before = self.weight.shape[1] - 1 - x.behind
        self.around = F.pad(self.load(x.sequence(route)), (0, 0, before, x.behind))

    def linear(self) -> Tensor:
        """The convolution before silu (b, l, d), in the order of reading."""
        taps = self.weight.shape[1]
        length = self.around.shape[1] - taps + 1
        y = self.around[:, :length] * self.weight[:, 0]
        for j in range(1, taps):
            y = torch.addcmul(y, self.around[:, j : j + length], self.weight[:, j])
        return y if self.bias is None else y + self.bias

    def load(self, v_bld: Tensor) -> Tensor:
        """Rows in the order of reading."""
        rows = v_bld if self.path is None else v_bld.index_select(1, self.path)
        return (rows.flip(1) if self.reverse else rows).to(self.dtype)

    def store(self, v_bld: Tensor, to_bld: Tensor) -> Tensor:
        """The reverse of `load`, into `to_bld`, which is returned."""
        rows = v_bld.flip(1) if self.reverse else v_bld
        if self.path is None:
            return to_bld.copy_(rows)
        return to_bld.index_copy_(1, self.path, rows.to(to_bld.dtype))
