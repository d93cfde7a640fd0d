"""The inside of a Mamba mixer as an operator of torch (`archdsl::mamba_inner`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from archdsl.kernels.define import fake, gradient, operator
from archdsl.kernels.flops import tell_counters
from archdsl.kernels.mamba_inner import composed
from archdsl.kernels.mamba_inner.inputs import Inputs, Outputs, need_fitting
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
        x.xz.requires_grad or any(v.requires_grad for listed in x.lists for v in listed)
    )
    y: Tensor = forward_operator(*x, saves, backend)[0]
    return y


@operator("mamba_inner")
def forward_operator(
    xz: Tensor,
    conv: Sequence[Tensor],
    conv_bias: Sequence[Tensor],
    x_proj: Sequence[Tensor],
    dt_proj: Sequence[Tensor],
    dt_bias: Sequence[Tensor],
    A_log: Sequence[Tensor],
    D: Sequence[Tensor],
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
    conv: Sequence[Tensor],
    conv_bias: Sequence[Tensor],
    x_proj: Sequence[Tensor],
    dt_proj: Sequence[Tensor],
    dt_bias: Sequence[Tensor],
    A_log: Sequence[Tensor],
    D: Sequence[Tensor],
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
        x.xz.new_empty(batch, length, x.routes, x.rank + 2 * x.state),
    )


def _gradients(x: Inputs) -> Eight:
    """Empty gradients of the right shapes and types."""
    parameters = (
        x.xz.new_empty((x.routes, *listed[0].shape), dtype=listed[0].dtype) if listed else x.xz.new_empty(0)
        for listed in x.lists
    )
    return x.xz.new_empty(x.xz.shape), *parameters  # type: ignore[return-value]


def _setup_context(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[object, ...], output: Four
) -> None:
    x = Inputs(*inputs[:14])  # type: ignore[arg-type]
    _, *saved = output
    kept = (x.xz, x.paths, *saved, *(v for listed in x.lists for v in listed))
    ctx.save_for_backward(*kept)  # type: ignore[arg-type]
    ctx.lengths = [len(listed) for listed in x.lists]  # type: ignore[attr-defined]
    ctx.options = x[9:]  # type: ignore[attr-defined]
    ctx.backend = inputs[15]  # type: ignore[attr-defined]
    ctx.set_materialize_grads(False)


def _autograd(
    ctx: torch.autograd.function.FunctionCtx, dout: Tensor | None, *unused: Tensor | None
) -> tuple[object, ...]:
    xz, paths, states, ungated, projected, *parameters = ctx.saved_tensors  # type: ignore[attr-defined]
    lengths: list[int] = ctx.lengths  # type: ignore[attr-defined]
    nothing = (None,) * 8
    if dout is None:
        return (None, *([None] * n for n in lengths), *nothing)
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    lists = [parameters[end - n : end] for n, end in zip(lengths, ends, strict=True)]
    options, backend = ctx.options, ctx.backend  # type: ignore[attr-defined]
    dxz, *found = backward_operator(dout, xz, *lists, paths, *options, backend, states, ungated, projected)
    return (dxz, *(list(v.unbind()) if n else [] for n, v in zip(lengths, found, strict=True)), *nothing)


gradient("mamba_inner", _autograd, _setup_context)
