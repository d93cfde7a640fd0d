"""The scans that are measured: shapes, and inputs drawn for them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


class Shape(NamedTuple):
    """b images, d channels, n states for each channel, l steps."""

    batch: int
    channels: int
    state: int
    length: int

    @property
    def states(self) -> int:
        """Numbers of the state that are computed: one exponential each."""
        return self.batch * self.channels * self.state * self.length

    @property
    def text(self) -> str:
        """`4 x 384 x 16 x 197`, as (b, d, n, l)."""
        return " x ".join(map(str, self))


SHAPES = (
    Shape(4, 384, 16, 197),
    Shape(2, 768, 16, 1024),
    Shape(1, 384, 1, 4096),
    Shape(1, 384, 8, 4096),
)
QUICK_SHAPES = (Shape(1, 384, 16, 197), Shape(1, 96, 1, 512))


class Problem(NamedTuple):
    """The inputs of one scan, channels last, with the gradient of its output; softplus on, gate and skip too.

    A, D and delta_bias are float32; the others have one type.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    z: Tensor
    delta_bias: Tensor
    dout: Tensor

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """All but the gradient, in the order of `selective_scan`."""
        return self[:8]

    def to(self, dtype: torch.dtype) -> Problem:
        """All of it in another type."""
        return Problem(*(v.to(dtype) for v in self))


def problem(shape: Shape, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> Problem:
    """Inputs as a trained mixer has them: step sizes about 0.1, decay rates from -1 to -n.

    The same numbers for every type, but rounded to it.
    """
    draw = torch.Generator().manual_seed(seed)
    b, d, n, l = shape  # noqa: E741

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=draw)

    u, delta, B, C = normal(b, l, d), normal(b, l, d) - 2, normal(b, l, n), normal(b, l, n)
    A = -torch.arange(1, n + 1, dtype=torch.float32).repeat(d, 1) * torch.rand(d, 1, generator=draw).add_(0.5)
    D, z, bias, dout = normal(d), normal(b, l, d), 0.1 * normal(d), normal(b, l, d)
    exact = {2, 5, 7}
    given = (u, delta, A, B, C, D, z, bias, dout)
    return Problem(*(v.to(device, v.dtype if i in exact else dtype) for i, v in enumerate(given)))


def worst(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """The largest error of several tensors, each against the largest value expected of it; NaN for NaN."""
    errors = []
    for f, wanted in zip(found, expected, strict=True):
        e = wanted.detach().double()
        size = e.abs().max().clamp(min=1e-30)
        errors.append((f.detach().double().to(e.device) - e).abs().max() / size)
    return float(torch.stack([error.cpu() for error in errors]).max())
