"""The inside of a Mamba mixer as an operator of torch (`archdsl::mamba_inner`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from archdsl.kernels.define import fake, gradient, operator
from archdsl.kernels.flops import tell_counters
from archdsl.kernels.mamba_inner import composed
from archdsl.kernels.mamba_inner.inputs import Inputs, Outputs, need_fitting, projected
from archdsl.kernels.selective_scan import CHUNK

Four = tuple[Tensor, Tensor, Tensor, Tensor]
Eight = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def mamba_inner(x: Inputs, backend: str = "auto") -> Tensor:
    """What stands in a Mamba mixer between its two outer projections, for all routes in one operator.

    A depthwise convolution along the sequence with silu, the projections to step sizes, B and C, the
    selective scan of every route, their sum or mean, and the gate; `reference.mamba_inner` is the formula.

    Args:
        x: see `Inputs`.
        backend: the kernel of the scan, `auto` for the fastest that serves.

    Returns:
        (b, l, e), in the type of `xz`; the state of the scan is float32 at least.

    Raises:
        ValueError: where shapes or types do not fit, and where the backend can't serve the scan.
    """
    need_fitting(x)
    tell_counters()
    saves = torch.is_grad_enabled() and (
        x.xz.requires_grad or any(v is not None and v.requires_grad for v in x.parameters)
    )
    y: Tensor = forward_operator(*x, saves, backend)[0]
    return y


@operator("mamba_inner")
def forward_operator(
    xz: Tensor,
    conv: Tensor | None,
    conv_bias: Tensor | None,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    paths: Tensor | None,
    gated: bool,
    behind: int,
    dt_bias_times: int,
    reverse: Sequence[bool],
    mean: bool,
    saves: bool,
    backend: str,
) -> Four:
    """`Outputs`, by the kernels that serve the convolution and the scan."""
    x = Inputs(xz, conv, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, paths, gated, behind, dt_bias_times,
               tuple(reverse), mean)  # fmt: skip
    if xz.numel() == 0:
        return tuple(v.zero_() for v in _outputs(x, saves))  # type: ignore[return-value]
    return composed.forward(_ordered(x), saves, backend)


@operator("mamba_inner_backward", differentiable=False)
def backward_operator(
    dout: Tensor,
    xz: Tensor,
    conv: Tensor | None,
    conv_bias: Tensor | None,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    paths: Tensor | None,
    gated: bool,
    behind: int,
    dt_bias_times: int,
    reverse: Sequence[bool],
    mean: bool,
    backend: str,
    states: Tensor,
    ungated: Tensor,
    projected: Tensor,
) -> Eight:
    """`Gradients`; an empty tensor for parameters that are not there."""
    x = Inputs(xz, conv, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, paths, gated, behind, dt_bias_times,
               tuple(reverse), mean)  # fmt: skip
    if xz.numel() == 0:
        return tuple(v.zero_() for v in _gradients(x))  # type: ignore[return-value]
    dout = dout.to(xz.dtype).contiguous()
    found = composed.backward(dout, _ordered(x), states, ungated, projected, backend)
    return tuple(xz.new_empty(0) if v is None else v for v in found)  # type: ignore[return-value]


def _ordered(x: Inputs) -> Inputs:
    """With channels side by side in memory, and steps a whole number of rows apart."""
    regular = x.xz.stride(2) == 1 and x.xz.stride(0) == x.xz.stride(1) * x.xz.shape[1]
    paths = None if x.paths is None else x.paths.long().contiguous()
    return x._replace(xz=x.xz if regular else x.xz.contiguous(), paths=paths)


@fake("mamba_inner")
def _(xz: Tensor, *rest: object) -> Four:
    *inputs, saves, _ = rest
    return _outputs(Inputs(xz, *inputs), bool(saves))  # type: ignore[arg-type]


@fake("mamba_inner_backward")
def _(dout: Tensor, *rest: object) -> Eight:
    return _gradients(Inputs(*rest[:14]))  # type: ignore[arg-type]


def _outputs(x: Inputs, saves: bool) -> Four:
    """Empty outputs of the right shapes and types."""
    batch, length = x.xz.shape[:2]
    y, nothing = x.xz.new_empty(batch, length, x.channels), x.xz.new_empty(0)
    kept = torch.promote_types(x.xz.dtype, torch.float32)
    if not saves:
        return y, x.xz.new_empty(0, dtype=kept), nothing, x.xz.new_empty(0)
    shape = (x.routes, batch, (length + CHUNK - 1) // CHUNK + 1, x.state, x.channels)
    return Outputs(
        y,
        x.xz.new_empty(shape, dtype=kept),
        torch.empty_like(y) if x.gated else nothing,
        projected(x),
    )


def _gradients(x: Inputs) -> Eight:
    """Empty gradients of the right shapes and types."""
    given = (x.xz, *x.parameters)
    return tuple(x.xz.new_empty(0) if v is None else v.new_empty(v.shape) for v in given)  # type: ignore[return-value]


def _setup_context(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[object, ...], output: Four
) -> None:
    _, *saved = output
    ctx.save_for_backward(*inputs[:9], *saved)  # type: ignore[arg-type]
    ctx.options = inputs[9:14]  # type: ignore[attr-defined]
    ctx.backend = inputs[15]  # type: ignore[attr-defined]
    ctx.set_materialize_grads(False)


def _autograd(
    ctx: torch.autograd.function.FunctionCtx, dout: Tensor | None, *unused: Tensor | None
) -> tuple[Tensor | None, ...]:
    *given, states, ungated, projected = ctx.saved_tensors  # type: ignore[attr-defined]
    nothing = (None,) * 8
    if dout is None:
        return (None,) * 8 + nothing
    options, backend = ctx.options, ctx.backend  # type: ignore[attr-defined]
    gradients = backward_operator(dout, *given, *options, backend, states, ungated, projected)
    found = (None if v is None else g for v, g in zip(given[:8], gradients, strict=True))
    return (*found, *nothing)


gradient("mamba_inner", _autograd, _setup_context)
