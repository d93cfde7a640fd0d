"""The depthwise convolution in Triton: which kernels run on what, see `convolution`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.conv1d.inputs import Gradients, Inputs
from archdsl.kernels.conv1d.triton.convolution import convolve, spread, weigh
from archdsl.kernels.launch import Launch, bits


class Tile(NamedTuple):
    """Sizes of a program: steps, channels, warps."""

    rows: int
    channels: int
    warps: int


SMALL = Tile(8, 128, 4)
"""Of what is computed element by element: 8 numbers for each thread."""
TALL = Tile(64, 64, 8)
"""Of sums over steps: every tile leaves one number for each channel and tap."""


class Room(NamedTuple):
    """What the launches of the backward write."""

    da: Tensor
    sums: Tensor
    dx: Tensor


def forward(x: Inputs) -> Tensor:
    """The result (r, b, l, d)."""
    y, launch = plan(x)
    launch.run()
    return y


def backward(dout: Tensor, x: Inputs) -> Gradients:
    """Gradients of the inputs for the gradient `dout` (r, b, l, d) of the result."""
    room, launches = plan_backward(dout, x)
    for launch in launches:
        launch.run()
    total = room.sums.sum((1, 2))
    dweight = total[:, :-1].transpose(1, 2).to(x.weight.dtype).contiguous()
    dbias = None if x.bias is None else total[:, -1].to(x.bias.dtype).contiguous()
    return Gradients(room.dx.view(x.x.shape), dweight, dbias)


def plan(x: Inputs) -> tuple[Tensor, Launch]:
    """Room for the result, and the launch that fills it."""
    routes, batch, length, channels = len(x.reverse), *x.x.shape[-3:]
    y = x.x.new_empty(routes, batch, length, channels)
    values = _reading(x) | {"y": y, "ROWS": SMALL.rows, "CHANNELS": SMALL.channels}
    return y, Launch(convolve, routes * batch * _tiles(SMALL, length, channels), values, SMALL.warps)


def plan_backward(dout: Tensor, x: Inputs) -> tuple[Room, list[Launch]]:
    """Room for the gradient before silu, for sums over tiles and for the gradient of x; what fills them."""
    routes, batch, length, channels = dout.shape
    taps = x.weight.shape[2]
    sequences = 1 if x.common else routes
    down = -(-length // TALL.rows)
    room = Room(
        x.x.new_empty(dout.shape),
        x.x.new_empty((routes, batch, down, taps + 1, channels), dtype=torch.float32),
        x.x.new_empty(sequences, batch, length, channels),
    )
    weighing = _reading(x) | {
        "dout": dout,
        "da": room.da,
        "sums": room.sums,
        "dout_r": dout.stride(0),
        "dout_b": dout.stride(1),
        "dout_l": dout.stride(2),
        "ROWS": TALL.rows,
        "CHANNELS": TALL.channels,
    }
    spreading = {
        "da": room.da,
        "weight": x.weight,
        "steps": None if x.paths is None else x.paths.argsort(1),
        "dx": room.dx,
        "images": batch,
        "length": length,
        "channels": channels,
        "reverse_bits": bits(x.reverse),
        "da_r": room.da.stride(0),
        "READERS": routes // sequences,
        "TAPS": taps,
        "BEHIND": x.behind,
        "ROWS": SMALL.rows,
        "CHANNELS": SMALL.channels,
    }
    return room, [
        Launch(weigh, routes * batch * _tiles(TALL, length, channels), weighing, TALL.warps),
        Launch(spread, sequences * batch * _tiles(SMALL, length, channels), spreading, SMALL.warps),
    ]


def _reading(x: Inputs) -> dict[str, object]:
    """The arguments that `convolve` and `weigh` have in common."""
    batch, length, channels = x.x.shape[-3:]
    return {
        "x": x.x,
        "weight": x.weight,
        "bias": x.bias,
        "paths": x.paths,
        "images": batch,
        "length": length,
        "channels": channels,
        "reverse_bits": bits(x.reverse),
        "x_r": 0 if x.common else x.x.stride(0),
        "x_b": x.x.stride(-3),
        "x_l": x.x.stride(-2),
        "TAPS": x.weight.shape[2],
        "BEHIND": x.behind,
        "SILU": x.silu,
    }


def _tiles(tile: Tile, length: int, channels: int) -> int:
    return -(-length // tile.rows) * -(-channels // tile.channels)
