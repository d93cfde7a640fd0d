"""A mixer between its first projection and its last one included: ours, and mamba-ssm's one function."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.cli.bench.cuda import peers
from archdsl.cli.bench.peers.peer import Ready, as_it_is, through_autograd
from archdsl.cli.bench.problems import Shape
from archdsl.kernels.mamba_inner import Inputs, mamba_inner

TAPS = 4


class Mixer(NamedTuple):
    """The inputs: e channels, n states, rank q = e / 32, width e / 2 outside; channels last.

    Args:
        xz: (b, l, 2 e).
        conv: (e, 1, 4).
        conv_bias: (e).
        x_proj: (q + 2 n, e).
        dt_proj: (e, q).
        out: (e / 2, e).
        A_log: (e, n).
        D, dt_bias: (e).
        dout: (b, l, e / 2).
    """

    xz: Tensor
    conv: Tensor
    conv_bias: Tensor
    x_proj: Tensor
    dt_proj: Tensor
    out: Tensor
    A_log: Tensor
    D: Tensor
    dt_bias: Tensor
    dout: Tensor

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        """All but the gradient."""
        return self[:9]


def mixer(shape: Shape, dtype: torch.dtype, device: str) -> Mixer:
    """Inputs as a model has them: the rates and the step sizes in float32."""
    draw = torch.Generator().manual_seed(0)
    b, e, n, steps = shape
    q, width = max(1, e // 32), e // 2

    def normal(*size: int, scale: float = 1.0) -> Tensor:
        return (scale * torch.randn(*size, generator=draw)).to(device, dtype)

    def exact(values: Tensor) -> Tensor:
        return values.to(device, torch.promote_types(dtype, torch.float32))

    return Mixer(
        normal(b, steps, 2 * e),
        normal(e, 1, TAPS, scale=0.5),
        normal(e, scale=0.1),
        normal(q + 2 * n, e, scale=e**-0.5),
        normal(e, q, scale=q**-0.5),
        normal(width, e, scale=e**-0.5),
        exact(torch.arange(1, n + 1).log().repeat(e, 1)),
        exact(torch.ones(e)),
        exact(torch.full((e,), -3.0)),
        normal(b, steps, width),
    )


def ours(x: Mixer, backend: str = "auto") -> Ready:
    """Our operator, and the last projection."""

    def run(*v: Tensor) -> Tensor:
        xz, conv, conv_bias, x_proj, dt_proj, out, A_log, D, dt_bias = v
        given = Inputs(
            xz, conv[None], conv_bias[None], x_proj[None], dt_proj[None], dt_bias[None], A_log[None], D[None],
            paths=None, gated=True, behind=0, dt_bias_times=1, reverse=(False,), mean=False,
        )  # fmt: skip
        return F.linear(mamba_inner(given, backend), out)

    return through_autograd(run, x.arguments, x.dout, as_it_is)


def theirs(x: Mixer) -> Ready:
    """`mamba_inner_fn`, which takes xz (b, 2 e, l)."""

    def run(*v: Tensor) -> Tensor:
        xz, conv, conv_bias, x_proj, dt_proj, out, A_log, D, dt_bias = v
        A = -torch.exp(A_log)
        return peers.inner(xz.transpose(1, 2), conv, conv_bias, x_proj, dt_proj, out, A, D, dt_bias)

    return through_autograd(run, x.arguments, x.dout, as_it_is)
