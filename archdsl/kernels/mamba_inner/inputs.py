"""What the inside of a Mamba mixer is given, and what its backward needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Inputs(NamedTuple):
    """The arguments: r routes, b images, l steps, e channels, n states, k taps, rank q of the step sizes.

    All tensors have the type of `xz` but those that the scan takes in the type of its state: dt_bias, A_log
    and D are of any.

    Args:
        xz: (b, l, e), or (b, l, 2 e) with a gate behind.
        conv: for each route (e, 1, k), as `torch.nn.Conv1d` has it; none without a convolution.
        conv_bias: for each route (e); none without.
        x_proj: for each route (q + 2 n, e): what step sizes, B and C are made with.
        dt_proj: for each route (e, q).
        dt_bias: for each route (e).
        A_log: for each route (e, n): the decay rates are -exp(A_log).
        D: for each route (e).
        paths: (r, l) integers, see `archdsl.kernels.selective_scan`: convolution and scan go along them.
        gated: whether `xz` holds a gate.
        behind: taps of the convolution behind the current step.
        dt_bias_times: how often dt_bias is added to the step sizes before softplus: 1, or 2.
        reverse: for each route, whether it is read from its end, by the convolution too.
        mean: whether the routes' results are averaged; else they are added.
    """

    xz: Tensor
    conv: Sequence[Tensor]
    conv_bias: Sequence[Tensor]
    x_proj: Sequence[Tensor]
    dt_proj: Sequence[Tensor]
    dt_bias: Sequence[Tensor]
    A_log: Sequence[Tensor]
    D: Sequence[Tensor]
    paths: Tensor | None
    gated: bool
    behind: int
    dt_bias_times: int
    reverse: tuple[bool, ...]
    mean: bool

    @property
    def routes(self) -> int:
        """r."""
        return len(self.reverse)

    @property
    def channels(self) -> int:
        """e."""
        return self.A_log[0].shape[0]

    @property
    def state(self) -> int:
        """n."""
        return self.A_log[0].shape[1]

    @property
    def rank(self) -> int:
        """q."""
        return self.dt_proj[0].shape[1]

    @property
    def x(self) -> Tensor:
        """What goes through the scan (b, l, e)."""
        return self.xz[..., : self.channels] if self.gated else self.xz

    @property
    def z(self) -> Tensor | None:
        """The gate (b, l, e)."""
        return self.xz[..., self.channels :] if self.gated else None

    @property
    def lists(self) -> tuple[Sequence[Tensor], ...]:
        """The parameters, in order."""
        return self[1:8]


class Outputs(NamedTuple):
    """What the forward returns.

    Args:
        y: (b, l, e) in the type of `xz`.
        states, ungated: what the scan saved; (0) where nothing is saved.
        projected: (b, l, r, q + 2 n), what step sizes, B and C were cut from; (0) where nothing is saved.
    """

    y: Tensor
    states: Tensor
    ungated: Tensor
    projected: Tensor


class Gradients(NamedTuple):
    """Gradients of `xz` and of the parameters, in their types; None where there are no such parameters.

    Those of all routes are one tensor, r in front.
    """

    xz: Tensor
    conv: Tensor | None
    conv_bias: Tensor | None
    x_proj: Tensor
    dt_proj: Tensor
    dt_bias: Tensor
    A_log: Tensor
    D: Tensor


def need_fitting(x: Inputs) -> None:
    """Raises ValueError where shapes or types do not fit."""
    routes, channels, state, rank = x.routes, x.channels, x.state, x.rank
    if x.xz.ndim != 3 or x.xz.shape[2] != channels * (2 if x.gated else 1):
        raise ValueError(f"mamba_inner: {tuple(x.xz.shape)} holds no tokens of {channels} channels")
    taps = x.conv[0].shape[-1] if x.conv else 1
    wanted = {
        "conv": (channels, 1, taps),
        "conv_bias": (channels,),
        "x_proj": (rank + 2 * state, channels),
        "dt_proj": (channels, rank),
        "dt_bias": (channels,),
        "A_log": (channels, state),
        "D": (channels,),
    }
    for (name, shape), listed in zip(wanted.items(), x.lists, strict=True):
        if len(listed) != routes and (listed or not name.startswith("conv")):
            raise ValueError(f"mamba_inner: {len(listed)} of {name} for {routes} routes")
        for tensor in listed:
            if tuple(tensor.shape) != shape:
                raise ValueError(f"mamba_inner: {name} is {tuple(tensor.shape)}, expected {shape}")
            if tensor.dtype != x.xz.dtype and name not in ("dt_bias", "A_log", "D"):
                raise ValueError(f"mamba_inner: {name} is {tensor.dtype}, xz is {x.xz.dtype}")
    if x.paths is not None and tuple(x.paths.shape) != (routes, x.xz.shape[1]):
        raise ValueError(f"mamba_inner: paths is {tuple(x.paths.shape)}, expected {(routes, x.xz.shape[1])}")
    if not 0 <= x.behind < taps:
        raise ValueError(f"mamba_inner: {x.behind} of {taps} taps cannot stand behind")


def stacked(listed: Sequence[Tensor]) -> Tensor:
    """Tensors of all routes as one, r in front; without a copy where there is one route."""
    return listed[0].unsqueeze(0) if len(listed) == 1 else torch.stack(list(listed))
