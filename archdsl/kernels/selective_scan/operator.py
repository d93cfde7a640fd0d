"""The selective scan as an operator of torch (`archdsl::selective_scan`), and the function people call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from archdsl.kernels.define import fake, gradient, operator
from archdsl.kernels.selective_scan.arguments import check, directions, normalised, ordered
from archdsl.kernels.selective_scan.candidates import LADDER
from archdsl.kernels.selective_scan.inputs import Inputs, call_of, empty, saved_states_shape, state_dtype
from archdsl.kernels.selective_scan.saved import given_or_found

Eight = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    *,
    layout: str = "bld",
    direction: str | Sequence[str] = "forward",
    paths: Tensor | None = None,
    merge: str = "none",
    backend: str = "auto",
) -> Tensor:
    """The selective scan of Mamba (arXiv 2312.00752), with the argument names of mamba_ssm.

    b images, l steps, d channels, n states for each channel. The state is float32, float64 for float64
    sequences; autocast does not change that. The output has the type of `u`.

    Several routes go in one call: then u, delta, A, B, C, D and delta_bias have a dimension r in front, and
    so has z where routes are not merged. What routes share may be expanded along r, at no cost.

    Args:
        u: (b, l, d) the sequence.
        delta: (b, l, d) step sizes.
        A: (d, n) decay rates.
        B, C: (b, l, n).
        D: (d) weight of the input in the output.
        z: (b, l, d) gate: the output is multiplied by silu(z), after the merge.
        delta_bias: (d) added to delta.
        delta_softplus: whether delta goes through softplus, after the bias.
        layout: `bld`, channels last; `bdl`: u, delta, z and the output are (b, d, l), B and C are (b, n, l).
        direction: `forward`, or `backward` to read the sequence from its end; the output stays in place. One
            word for each route, or one for all; `both` for two routes is a forward and a backward one.
        paths: (r, l) integers: the order in which each route visits the steps, a permutation of them each.
        merge: `none` for an output of each route, `add` or `mean` of them for one (b, l, d).
        backend: a kernel's name, or `auto`.

    Raises:
        ValueError: where shapes do not fit, paths are no permutations, for unknown words or backends, and
            where the backend can't serve the call.
    """
    if layout not in ("bld", "bdl"):
        raise ValueError(f"layout is `bld` or `bdl`, not `{layout}`")
    if merge not in ("none", "add", "mean"):
        raise ValueError(f"merge is `none`, `add` or `mean`, not `{merge}`")
    if u.ndim not in (3, 4):
        raise ValueError(f"selective_scan: u has 3 dimensions, 4 with routes, not {u.ndim}")
    tensors = (u, delta, A, B, C, D, z, delta_bias)
    if layout == "bdl":
        u, delta, B, C = (v.transpose(-1, -2) for v in (u, delta, B, C))
        z = None if z is None else z.transpose(-1, -2)
    single = u.ndim == 3
    if single:
        u, delta, A, B, C = (v.unsqueeze(0) for v in (u, delta, A, B, C))
        D = None if D is None else D.unsqueeze(0)
        delta_bias = None if delta_bias is None else delta_bias.unsqueeze(0)
        z = z.unsqueeze(0) if z is not None and merge == "none" else z
    reverse = directions(direction, u.shape[0])
    inputs = Inputs(u, delta, A, B, C, D, z, delta_bias, paths, delta_softplus, reverse, merge, layout)
    check(inputs, single)
    saves = torch.is_grad_enabled() and any(v is not None and v.requires_grad for v in tensors)
    y: Tensor = forward_operator(*inputs, saves, backend)[0]
    if single and merge == "none":
        y = y.squeeze(0)
    return y.transpose(-1, -2) if layout == "bdl" else y


@operator("selective_scan")
def forward_operator(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    paths: Tensor | None,
    delta_softplus: bool,
    reverse: Sequence[bool],
    merge: str,
    layout: str,
    saves: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """`Outputs` of inputs of any types, by the kernel that serves them; y in the type of `u`."""
    given = Inputs(u, delta, A, B, C, D, z, delta_bias, paths, delta_softplus, tuple(reverse), merge, layout)
    x = normalised(given)
    if u.numel() == 0:
        out = _outputs(given, saves)
        return out[0].zero_(), out[1].zero_(), out[2].zero_()
    y, states, ungated = LADDER.choose(call_of(x), backend).load().forward(x, saves)
    return y.to(u.dtype), states, ungated


@operator("selective_scan_backward", differentiable=False)
def backward_operator(
    dout: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    paths: Tensor | None,
    delta_softplus: bool,
    reverse: Sequence[bool],
    merge: str,
    layout: str,
    backend: str,
    states: Tensor,
    ungated: Tensor,
) -> Eight:
    """The gradients of the eight tensors, in their types; an empty tensor for an input that was None.

    `states` and `ungated` are what the forward saved; those that are not there are computed again.
    """
    given = Inputs(u, delta, A, B, C, D, z, delta_bias, paths, delta_softplus, tuple(reverse), merge, layout)
    if u.numel() == 0:
        return tuple(g.zero_() for g in _gradients(given))  # type: ignore[return-value]
    x = normalised(given)
    kernel = LADDER.choose(call_of(x), backend).load()
    states, ungated = given_or_found(kernel, x, states, ungated)
    gradients = kernel.backward(ordered(dout.to(x.u.dtype), layout), x, states, ungated)
    return tuple(  # type: ignore[return-value]
        u.new_empty(0) if v is None or g is None else g.to(v.dtype)
        for v, g in zip(given[:8], gradients, strict=True)
    )


@fake("selective_scan")
def _(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    paths: Tensor | None,
    delta_softplus: bool,
    reverse: Sequence[bool],
    merge: str,
    layout: str,
    saves: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    given = Inputs(u, delta, A, B, C, D, z, delta_bias, paths, delta_softplus, tuple(reverse), merge, layout)
    return _outputs(given, saves)


@fake("selective_scan_backward")
def _(dout: Tensor, *inputs: object) -> tuple[Tensor, ...]:
    return _gradients(Inputs(*inputs[:13]))  # type: ignore[arg-type]


def _outputs(x: Inputs, saves: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Empty outputs of the right shapes, types and memory orders."""
    shape = tuple(x.u.shape) if x.merge == "none" else tuple(x.u.shape[1:])
    common = reduce(torch.promote_types, (v.dtype for v in (x.u, x.delta, x.B, x.C, x.z) if v is not None))
    y = empty(shape, x.u.dtype, x.layout, x.u)
    if not saves:
        return y, x.u.new_empty(0, dtype=state_dtype(common)), x.u.new_empty(0, dtype=common)
    states = x.u.new_empty(saved_states_shape(x.u, x.A), dtype=state_dtype(common))
    ungated = x.u.new_empty(0, dtype=common) if x.z is None else empty(shape, common, x.layout, x.u)
    return y, states, ungated


def _gradients(x: Inputs) -> tuple[Tensor, ...]:
    """Empty gradients of the right shapes, types and memory orders."""
    sequences = {id(x.u), id(x.delta), id(x.z)}
    return tuple(
        x.u.new_empty(0)
        if v is None
        else empty(tuple(v.shape), v.dtype, x.layout if id(v) in sequences else "bld", v)
        for v in x[:8]
    )


def _setup_context(
    ctx: torch.autograd.function.FunctionCtx,
    inputs: tuple[object, ...],
    output: tuple[Tensor, Tensor, Tensor],
) -> None:
    _, states, ungated = output
    ctx.save_for_backward(*inputs[:9], states, ungated)  # type: ignore[arg-type]
    ctx.options = inputs[9:13]  # type: ignore[attr-defined]
    ctx.backend = inputs[14]  # type: ignore[attr-defined]
    ctx.set_materialize_grads(False)


def _autograd(
    ctx: torch.autograd.function.FunctionCtx, dout: Tensor | None, *unused: Tensor | None
) -> tuple[Tensor | None, ...]:
    *given, states, ungated = ctx.saved_tensors  # type: ignore[attr-defined]
    nothing = (None,) * 7
    if dout is None:
        return (None,) * 8 + nothing
    options, backend = ctx.options, ctx.backend  # type: ignore[attr-defined]
    gradients = backward_operator(dout, *given, *options, backend, states, ungated)
    found = (None if v is None else g for v, g in zip(given[:8], gradients, strict=True))
    return (*found, *nothing)


gradient("selective_scan", _autograd, _setup_context)
