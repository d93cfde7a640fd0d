"""What a depthwise convolution along the sequence is given, and what is known of it before it runs."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Inputs(NamedTuple):
    """The arguments: r routes, b images, l steps, d channels, k taps.

    Args:
        x: (b, l, d), a sequence that all routes read, or (r, b, l, d), one for each; channels lie side by
            side in memory, other strides are free.
        weight: (r, d, k), contiguous, in the type of `x`.
        bias: (r, d), contiguous, in the type of `x`.
        behind: taps behind the current step, 0 in a causal convolution; k - 1 - behind are before it.
        silu: whether the result goes through silu.
        reverse: for each route, whether the sequence is read from its end; the result stays in place.
        paths: (r, l) integers: step t of route i reads and writes row paths[i, t]. None: rows in order.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    behind: int
    silu: bool
    reverse: tuple[bool, ...]
    paths: Tensor | None

    @property
    def common(self) -> bool:
        """Whether all routes read one sequence."""
        return self.x.ndim == 3

    def sequence(self, route: int) -> Tensor:
        """What a route reads (b, l, d)."""
        return self.x if self.common else self.x[route]


class Gradients(NamedTuple):
    """Gradients of x, weight and bias, contiguous, in the types of the inputs; summed over routes for an `x`
    that they have in common."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None


class Forward(Protocol):
    """The forward of a kernel: (r, b, l, d), contiguous, in the type of the sequence."""

    def __call__(self, x: Inputs) -> Tensor: ...


class Backward(Protocol):
    """The backward of a kernel, from the gradient (r, b, l, d) of the result."""

    def __call__(self, dout: Tensor, x: Inputs) -> Gradients: ...


class Kernel(NamedTuple):
    """The two functions of a kernel."""

    forward: Forward
    backward: Backward


class Call(NamedTuple):
    """What a kernel needs to know to tell whether it serves a convolution.

    Args:
        device: type of the device (`cpu`, `cuda`).
        dtype: of the sequence.
        routes, batch, length, channels, taps: r, b, l, d, k of `Inputs`.
        paths: whether rows are read along paths.
        layout: of memory, always `bld`: channels last.
    """

    device: str
    dtype: torch.dtype
    routes: int
    batch: int
    length: int
    channels: int
    taps: int
    paths: bool
    layout: str = "bld"


def call_of(x: Inputs) -> Call:
    """What decides about the kernel."""
    routes, channels, taps = x.weight.shape
    batch, length = x.x.shape[-3:-1]
    return Call(x.x.device.type, x.x.dtype, routes, batch, length, channels, taps, x.paths is not None)
