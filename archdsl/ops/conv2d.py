"""Convolution over the places of a map."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal, Self

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op, ShapeError
from archdsl.ops._memory import apart, filters, on_map, size, turned
from archdsl.ops._places import need_division, need_map
from archdsl.ops._types import Count, Flag, Kernel, WidthOrSame
from archdsl.ops._widths import carried_macs, carried_params, carried_tokens, resolve_width
from archdsl.tape import Flow, Part, conv2d, pad


class Conv2d(Op):
    """`conv2d(kernel, out, stride, depthwise, bias)`: a convolution of a map (H, W, C) with zeros around it.

    The result has ceil(H / stride) by ceil(W / stride) places. K - 1 rows and columns of zeros are added,
    half of them on each side; where K is even the odd one stands at the bottom and at the right. Extra tokens
    are carried past: unchanged, or through a linear map of their own where the width changes.

    Args:
        kernel: K, the side of the kernel.
        out: output channels.
        stride: places from one position of the kernel to the next.
        depthwise: every channel has kernels of its own, and `out` is a multiple of the channels that come in.
        bias: whether a number is added to every output channel.
    """

    name: ClassVar[str] = "conv2d"
    source: ClassVar[str] = "torch.nn.Conv2d"
    module: ClassVar[str] = "archdsl.nn.conv2d:Conv2d"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "read"

    kernel: Kernel
    out: WidthOrSame = "same"
    stride: Count = 1
    depthwise: Flag = False
    bias: Flag = True

    def resolved(self, x: Feature) -> Self:
        """With the output width written out."""
        return self.model_copy(update={"out": resolve_width(self.out, x)})

    def canonical(self, x: Feature) -> Self:
        """A single channel has no others to be kept apart from."""
        return self.model_copy(update={"depthwise": False}) if x.dim == 1 else self

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """A map of ceil(side / stride) places on each side, with `out` channels."""
        height, width = need_map(x, "a convolution")
        if min(height, width) < self.stride:
            raise ShapeError(
                "E308",
                "the image is too small",
                label=f"a map of {height} x {width} cannot be divided by {self.stride}",
                parameter="stride",
                notes=(f"receives {x}",),
                help="use a larger image or fewer strides before",
            )
        out = resolve_width(self.out, x)
        if self.depthwise:
            need_division(
                out,
                x.dim,
                "a depthwise convolution makes as many channels of each",
                parameter="out",
                help=f"use {x.dim}, a multiple of it, or depthwise = off",
            )
        grid = (-(-height // self.stride), -(-width // self.stride))
        return Feature(out, grid, x.extras, x.windows)

    def params(self, x: Feature, y: Feature) -> int:
        """C K^2 out + out (K^2 out + out where depthwise), and the linear map of the extra tokens."""
        return self._taps(x) * y.dim + (y.dim if self.bias else 0) + carried_params(x, y)

    def macs(self, x: Feature, y: Feature) -> Macs:
        """C K^2 out (K^2 out where depthwise) for each place, and the linear map of the extra tokens."""
        return Macs(conv=y.patches * self._taps(x) * y.dim, linear=carried_macs(x, y))

    def reduction(self, x: Feature, y: Feature) -> int:
        """The stride."""
        return self.stride

    def workspace(self, x: Feature, y: Feature) -> int:
        """The weights in the order of the kernel, the map with its odd row and column, extra tokens."""
        height, width = x.grid
        uneven = self.kernel % 2 == 0
        grown = size(replace(x, grid=(height + 1, width + 1), extras=())) if uneven else on_map(x)
        weights = grown + filters(x, y, self.kernel, self._taps(x), self.depthwise)
        return apart(x) + max(weights, size(y) if y.extras else 0)

    def turned(self, x: Feature, y: Feature) -> int:
        """The weights with channels last."""
        return turned(y, self.kernel, self._taps(x), self.depthwise)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The convolution of the map, the extra tokens past it."""
        image, extras = s.map_and_extras()
        if self.kernel % 2 == 0:
            image = pad(image, 0, 0, 1, 1)
        side = (self.kernel, self.kernel)
        image = conv2d(image, y.dim, side, self.stride, (self.kernel - 1) // 2)
        return s.with_map(image, carried_tokens(extras, y.dim))

    def by_channel(self, x: Feature, y: Feature) -> int:
        """All of a depthwise one."""
        return self.macs(x, y).conv if self.depthwise else 0

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """As torch.nn.Conv2d names them, and whether extra tokens need their linear map."""
        return {
            "in_channels": x.dim,
            "out_channels": y.dim,
            "kernel_size": self.kernel,
            "stride": self.stride,
            "groups": x.dim if self.depthwise else 1,
            "bias": self.bias,
            "extras": carried_params(x, y) > 0,
        }

    def _taps(self, x: Feature) -> int:
        """Inputs of one output number."""
        return self.kernel**2 * (1 if self.depthwise else x.dim)
