"""What the inside of a Mamba mixer is given, and what its backward needs."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """The arguments: r routes, b images, l steps, e channels, n states, k taps, rank q of the step sizes.

    All tensors have the type of `xz` but those that the scan takes in the type of its state: dt_bias, A_log
    and D are of any.

    Args:
        xz: (b, l, e), or (b, l, 2 e) with a gate behind.
        conv: (r, e, 1, k), of each route as `torch.nn.Conv1d` has it; None without a convolution.
        conv_bias: (r, e), or None.
        x_proj: (r, q + 2 n, e): what step sizes, B and C are made with.
        dt_proj: (r, e, q).
        dt_bias: (r, e).
        A_log: (r, e, n): the decay rates are -exp(A_log).
        D: (r, e).
        paths: (r, l) integers, see `archdsl.kernels.selective_scan`: convolution and scan go along them.
        gated: whether `xz` holds a gate.
        behind: taps of the convolution behind the current step.
        dt_bias_times: how often dt_bias is added to the step sizes before softplus: 1, or 2.
        reverse: for each route, whether it is read from its end, by the convolution too.
        mean: whether the routes' results are averaged; else they are added.
    """

    xz: Tensor
    conv: Tensor | None
    conv_bias: Tensor | None
    x_proj: Tensor
    dt_proj: Tensor
    dt_bias: Tensor
    A_log: Tensor
    D: Tensor
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
        return self.A_log.shape[1]

    @property
    def state(self) -> int:
        """n."""
        return self.A_log.shape[2]

    @property
    def rank(self) -> int:
        """q."""
        return self.dt_proj.shape[2]

    @property
    def x(self) -> Tensor:
        """What goes through the scan (b, l, e)."""
        return self.xz[..., : self.channels] if self.gated else self.xz

    @property
    def z(self) -> Tensor | None:
        """The gate (b, l, e)."""
        return self.xz[..., self.channels :] if self.gated else None

    @property
    def parameters(self) -> tuple[Tensor | None, ...]:
        """In order."""
        return self[1:8]


class Outputs(NamedTuple):
    """What the forward returns.

    Args:
        y: (b, l, e) in the type of `xz`.
        states, ungated: what the scan saved; (0) where nothing is saved.
        projected: (r, b, l, q + 2 n), what step sizes, B and C were cut from; (0) where nothing is saved.
    """

    y: Tensor
    states: Tensor
    ungated: Tensor
    projected: Tensor


class Gradients(NamedTuple):
    """Gradients of `xz` and of the parameters, in their types; None where there are no such parameters."""

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
    for name in ("A_log", "dt_proj"):
        if getattr(x, name).ndim != 3:
            raise ValueError(f"mamba_inner: {name} has {getattr(x, name).ndim} dimensions, expected 3")
    routes, channels, state, rank = x.routes, x.channels, x.state, x.rank
    if x.xz.ndim != 3 or x.xz.shape[2] != channels * (2 if x.gated else 1):
        raise ValueError(f"mamba_inner: {tuple(x.xz.shape)} holds no tokens of {channels} channels")
    taps = 1 if x.conv is None else x.conv.shape[-1]
    wanted = {
        "conv": (routes, channels, 1, taps),
        "conv_bias": (routes, channels),
        "x_proj": (routes, rank + 2 * state, channels),
        "dt_proj": (routes, channels, rank),
        "dt_bias": (routes, channels),
        "A_log": (routes, channels, state),
        "D": (routes, channels),
    }
    for (name, shape), tensor in zip(wanted.items(), x.parameters, strict=True):
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            raise ValueError(f"mamba_inner: {name} is {tuple(tensor.shape)}, expected {shape}")
        if tensor.dtype != x.xz.dtype and name not in ("dt_bias", "A_log", "D"):
            raise ValueError(f"mamba_inner: {name} is {tensor.dtype}, xz is {x.xz.dtype}")
    if x.paths is not None and tuple(x.paths.shape) != (routes, x.xz.shape[1]):
        raise ValueError(f"mamba_inner: paths is {tuple(x.paths.shape)}, expected {(routes, x.xz.shape[1])}")
    if not 0 <= x.behind < taps:
        raise ValueError(f"mamba_inner: {x.behind} of {taps} taps cannot stand behind")


def projected(x: Inputs) -> Tensor:
    """Memory for `Outputs.projected`; routes that read one sequence stand side by side."""
    batch, length = x.xz.shape[:2]
    width = x.rank + 2 * x.state
    if x.conv is None:
        return x.xz.new_empty(batch, length, x.routes, width).permute(2, 0, 1, 3)
    return x.xz.new_empty(x.routes, batch, length, width)
