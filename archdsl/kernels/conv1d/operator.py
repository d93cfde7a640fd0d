"""The depthwise convolution as an operator of torch (`archdsl::conv1d`), and the function people call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from archdsl.kernels.conv1d.candidates import LADDER
from archdsl.kernels.conv1d.inputs import Inputs, call_of
from archdsl.kernels.define import fake, gradient, operator
from archdsl.kernels.flops import tell_counters


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    behind: int = 0,
    activation: str | None = None,
    direction: str | Sequence[str] = "forward",
    paths: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Every channel convolved along the sequence with k taps; zeros stand around it, it keeps its length.

    b images, l steps, d channels. Computed in float32 at least; the output has the type of `x`.

    Several routes go in one call: `weight` and `bias` then have a dimension r in front, `x` has one too, or
    is one sequence that all routes read, and the output is (r, b, l, d).

    Args:
        x: (b, l, d) the sequence.
        weight: (d, k); the last tap but `behind` multiplies the current step.
        bias: (d).
        behind: taps that multiply later steps, 0 for a causal convolution.
        activation: `silu` or none.
        direction: `forward`, or `backward` to read the sequence from its end; the output stays in place. One
            word for each route, or one for all.
        paths: (r, l) integers: the order in which each route visits the steps, a permutation of them each.
        backend: a kernel's name, or `auto`.

    Raises:
        ValueError: where shapes or types do not fit, and for unknown words or backends.
    """
    if activation not in (None, "silu"):
        raise ValueError(f"activation is `silu` or None, not `{activation}`")
    single = weight.ndim == 2
    if single:
        weight = weight.unsqueeze(0)
        bias = None if bias is None else bias.unsqueeze(0)
    words = (direction,) if isinstance(direction, str) else tuple(direction)
    if not {"forward", "backward"}.issuperset(words):
        raise ValueError(f"direction is `forward` or `backward`, not {direction!r}")
    reverse = tuple(word == "backward" for word in words)
    if len(reverse) == 1:
        reverse *= weight.shape[0]
    given = Inputs(x, weight, bias, behind, activation == "silu", reverse, paths)
    _check(given)
    tell_counters()
    y: Tensor = forward_operator(*given, backend)
    return y.squeeze(0) if single else y


@operator("conv1d")
def forward_operator(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    behind: int,
    silu: bool,
    reverse: Sequence[bool],
    paths: Tensor | None,
    backend: str,
) -> Tensor:
    """The result (r, b, l, d), contiguous, by the kernel that serves the call."""
    given = normalised(Inputs(x, weight, bias, behind, silu, tuple(reverse), paths))
    if x.numel() == 0:
        return _result(given)
    return LADDER.choose(call_of(given), backend).load().forward(given)


@operator("conv1d_backward", differentiable=False)
def backward_operator(
    dout: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    behind: int,
    silu: bool,
    reverse: Sequence[bool],
    paths: Tensor | None,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x, weight and bias; an empty tensor for no bias."""
    given = normalised(Inputs(x, weight, bias, behind, silu, tuple(reverse), paths))
    if x.numel() == 0:
        dx, dweight, dbias = _gradients(given)
        return dx, dweight.zero_(), dbias.zero_()
    kernel = LADDER.choose(call_of(given), backend).load()
    found = kernel.backward(_channels_last(dout.to(x.dtype)), given)
    return found.x, found.weight, x.new_empty(0) if found.bias is None else found.bias


def normalised(x: Inputs) -> Inputs:
    """The same convolution as kernels want it; copies only what is not so already."""
    return Inputs(
        _channels_last(x.x),
        x.weight.contiguous(),
        None if x.bias is None else x.bias.contiguous(),
        x.behind,
        x.silu,
        x.reverse,
        None if x.paths is None else x.paths.long().contiguous(),
    )


@fake("conv1d")
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    behind: int,
    silu: bool,
    reverse: Sequence[bool],
    paths: Tensor | None,
    backend: str,
) -> Tensor:
    return _result(Inputs(x, weight, bias, behind, silu, tuple(reverse), paths))


@fake("conv1d_backward")
def _(dout: Tensor, *inputs: object) -> tuple[Tensor, Tensor, Tensor]:
    return _gradients(Inputs(*inputs[:7]))  # type: ignore[arg-type]


def _result(x: Inputs) -> Tensor:
    return x.x.new_empty(x.weight.shape[0], *x.x.shape[-3:])


def _gradients(x: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    given = (x.x, x.weight, x.bias)
    dx, dweight, dbias = (x.x.new_empty(0) if v is None else v.new_empty(v.shape) for v in given)
    return dx, dweight, dbias


def _channels_last(v: Tensor) -> Tensor:
    return v if v.stride(-1) == 1 or v.shape[-1] == 1 else v.contiguous()


def _setup_context(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[object, ...], output: Tensor
) -> None:
    x, weight, bias, behind, silu, reverse, paths, backend = inputs
    ctx.save_for_backward(x, weight, bias, paths)  # type: ignore[arg-type]
    ctx.options = behind, silu, reverse  # type: ignore[attr-defined]
    ctx.backend = backend  # type: ignore[attr-defined]


def _autograd(ctx: torch.autograd.function.FunctionCtx, dout: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias, paths = ctx.saved_tensors  # type: ignore[attr-defined]
    options, backend = ctx.options, ctx.backend  # type: ignore[attr-defined]
    dx, dweight, dbias = backward_operator(dout, x, weight, bias, *options, paths, backend)
    return dx, dweight, None if bias is None else dbias, *(None,) * 5


gradient("conv1d", _autograd, _setup_context)


def _check(x: Inputs) -> None:
    """Raises ValueError where shapes or types do not fit."""
    if x.weight.ndim != 3 or x.x.ndim not in (3, 4):
        raise ValueError("conv1d: x is (b, l, d) and weight is (d, k), both may have routes in front")
    routes, channels, taps = x.weight.shape
    length = x.x.shape[-2]
    sequence = (*x.x.shape[-3:-1], channels)
    wanted = {
        "x": sequence if x.common else (routes, *sequence),
        "bias": (routes, channels),
        "paths": (routes, length),
    }
    for name, shape in wanted.items():
        tensor = getattr(x, name)
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"conv1d: {name} is {tuple(tensor.shape)}, expected {shape}")
    if len(x.reverse) != routes:
        raise ValueError(f"conv1d: {len(x.reverse)} directions for {routes} routes")
    if not 0 <= x.behind < taps:
        raise ValueError(f"conv1d: {x.behind} of {taps} taps cannot stand behind")
    for name in ("weight", "bias"):
        tensor = getattr(x, name)
        if tensor is not None and tensor.dtype != x.x.dtype:
            raise ValueError(f"conv1d: {name} is {tensor.dtype}, x is {x.x.dtype}")
