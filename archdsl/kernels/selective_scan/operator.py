"""The selective scan as an operator of torch (`archdsl::selective_scan`), and the function people call."""

from __future__ import annotations

import torch
from torch import Tensor

from archdsl.kernels.selective_scan.candidates import choose
from archdsl.kernels.selective_scan.inputs import Call, Inputs

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
    direction: str = "forward",
    backend: str = "auto",
) -> Tensor:
    """The selective scan of Mamba (arXiv 2312.00752), with the argument names of mamba_ssm.

    b images, l steps, d channels, n states for each channel. The state is float32, float64 for float64
    sequences; autocast does not change that. The output has the type of `u`.

    Args:
        u: (b, l, d) the sequence.
        delta: (b, l, d) step sizes.
        A: (d, n) decay rates.
        B, C: (b, l, n).
        D: (d) weight of the input in the output.
        z: (b, l, d) gate: the output is multiplied by silu(z).
        delta_bias: (d) added to delta.
        delta_softplus: whether delta goes through softplus, after the bias.
        layout: `bld`, channels last; `bdl`: u, delta, z and the output are (b, d, l), B and C are (b, n, l).
        direction: `forward`, or `backward` to read the sequence from its end; the output stays in place.
        backend: a kernel's name, or `auto`.

    Raises:
        ValueError: where shapes do not fit, or for an unknown layout, direction or backend.
    """
    if layout not in ("bld", "bdl"):
        raise ValueError(f"layout is `bld` or `bdl`, not `{layout}`")
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction is `forward` or `backward`, not `{direction}`")
    if layout == "bdl":
        u, delta, B, C = (v.transpose(-1, -2) for v in (u, delta, B, C))
        z = None if z is None else z.transpose(-1, -2)
    inputs = Inputs(u, delta, A, B, C, D, z, delta_bias, delta_softplus, direction == "backward")
    _check(inputs)
    y: Tensor = forward_operator(*inputs, backend)
    return y.transpose(-1, -2) if layout == "bdl" else y


def call_of(u: Tensor, A: Tensor) -> Call:
    """What decides about the kernel, from the sequence (b, l, d) and A (d, n)."""
    batch, length, channels = u.shape
    return Call(u.device.type, u.dtype, batch, length, channels, A.shape[1])


@torch.library.custom_op("archdsl::selective_scan", mutates_args=())
def forward_operator(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    reverse: bool,
    backend: str,
) -> Tensor:
    """The output, contiguous, by the kernel that serves the call."""
    inputs = Inputs(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse)
    return choose(call_of(u, A), backend).forward(inputs)


@torch.library.custom_op("archdsl::selective_scan_backward", mutates_args=())
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
    delta_softplus: bool,
    reverse: bool,
    backend: str,
) -> Eight:
    """The gradients of the eight tensors, contiguous; an empty tensor for an input that was None."""
    inputs = Inputs(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse)
    du, ddelta, dA, dB, dC, dD, dz, dbias = choose(call_of(u, A), backend).backward(dout, inputs)
    return du, ddelta, dA, dB, dC, *(u.new_empty(0) if g is None else g for g in (dD, dz, dbias))  # type: ignore[return-value]


@forward_operator.register_fake
def _(u: Tensor, *rest: object) -> Tensor:
    return _contiguous(u)


@backward_operator.register_fake
def _(dout: Tensor, *inputs: Tensor | bool | str | None) -> tuple[Tensor, ...]:
    u = inputs[0]
    assert isinstance(u, Tensor)
    return tuple(_contiguous(v) if isinstance(v, Tensor) else u.new_empty(0) for v in inputs[:8])


def _contiguous(v: Tensor) -> Tensor:
    return torch.empty_like(v, memory_format=torch.contiguous_format)


def _setup_context(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[object, ...], output: Tensor
) -> None:
    ctx.save_for_backward(*inputs[:8])  # type: ignore[arg-type]
    ctx.options = inputs[8:]  # type: ignore[attr-defined]


def _autograd(ctx: torch.autograd.function.FunctionCtx, dout: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # type: ignore[attr-defined]
    gradients = backward_operator(dout, *saved, *ctx.options)  # type: ignore[attr-defined]
    given = (None if v is None else g for v, g in zip(saved, gradients, strict=True))
    return (*given, None, None, None)


forward_operator.register_autograd(_autograd, setup_context=_setup_context)


def _check(x: Inputs) -> None:
    u, A = x.u, x.A
    if u.ndim != 3 or A.ndim != 2:
        raise ValueError(f"selective_scan: u has 3 dimensions and A has 2, not {u.ndim} and {A.ndim}")
    batch, length, channels = u.shape
    sequence, projected, vector = (batch, length, channels), (batch, length, A.shape[1]), (channels,)
    wanted = {
        "u": sequence,
        "delta": sequence,
        "A": (channels, A.shape[1]),
        "B": projected,
        "C": projected,
        "D": vector,
        "z": sequence,
        "delta_bias": vector,
    }
    for name, shape in wanted.items():
        tensor = getattr(x, name)
        if tensor is None:
            continue
        if tuple(tensor.shape) != shape:
            found = tuple(tensor.shape)
            raise ValueError(f"selective_scan: {name} is {found}, expected {shape} (channels last)")
        if not tensor.is_floating_point():
            raise ValueError(f"selective_scan: {name} is {tensor.dtype}, expected a floating-point type")
