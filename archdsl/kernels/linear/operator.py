"""A linear map as an operator of torch (`archdsl::linear`), and the function people call."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from archdsl.kernels.define import fake, gradient, operator
from archdsl.kernels.flops import tell_counters
from archdsl.kernels.ladder import Choice
from archdsl.kernels.linear.candidates import LADDER, kernel_for
from archdsl.kernels.linear.inputs import Call, Kernel, Product, call_of

SMALL = 1 << 22
"""Multiply-accumulates below which an operator of Python takes longer to call than a kernel can win."""
_PLAIN = (Tensor, torch.nn.Parameter)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """`torch.nn.functional.linear`, by the fastest kernel for float32 on the CPU.

    Everything else is PyTorch's own where `backend` is `auto`: other devices and types, autocast, small
    products, subclasses of Tensor, `torch.func`, forward-mode gradients, and what is exported or traced,
    so that it runs without this package.

    Args:
        x: (..., k).
        weight: (n, k).
        bias: (n).
        backend: a kernel's name, or `auto`.

    Returns:
        (..., n).

    Raises:
        ValueError: where shapes or types do not fit, and for unknown backends.
    """
    if backend == "auto" and _is_for_torch(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_autocast_enabled(x.device.type):
        to = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(to), weight.to(to)
        bias = None if bias is None else bias.to(to)
    _check(x, weight, bias)
    tell_counters()
    y: Tensor = forward_operator(x, weight, bias, backend)
    return y


def choice(x: Tensor, weight: Tensor) -> Choice[Call, Kernel] | None:
    """The kernel that serves a linear map, and those passed over; None where none is looked for."""
    return None if _is_for_torch(x, weight) else LADDER.explain(call_of(Product.FORWARD, _rows(x), weight))


@operator("linear")
def forward_operator(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> Tensor:
    """The result (..., n), contiguous, by the kernel that serves the call."""
    rows = _rows(x)
    if not rows.numel() or not weight.numel():
        return F.linear(rows, weight, bias).view(_shape(x, weight))
    kernel = kernel_for(Product.FORWARD, rows, weight, backend)
    with _without_autocast(x):
        return kernel.forward(rows, weight, bias).contiguous().view(_shape(x, weight))


@operator("linear_input_gradient", differentiable=False)
def input_operator(dout: Tensor, weight: Tensor, backend: str) -> Tensor:
    """The gradient of x (..., k), contiguous."""
    rows, shape = _rows(dout), (*dout.shape[:-1], weight.shape[1])
    if not rows.numel() or not weight.numel():
        return dout.new_zeros(shape)
    kernel = kernel_for(Product.INPUT, rows, weight, backend)
    with _without_autocast(dout):
        return kernel.by_input(rows, weight).contiguous().view(shape)


@operator("linear_weight_gradient", differentiable=False)
def weight_operator(dout: Tensor, x: Tensor, backend: str) -> Tensor:
    """The gradient of the weight (n, k), contiguous."""
    rows, found = _rows(dout), dout.new_empty(dout.shape[-1], x.shape[-1])
    if not rows.numel() or not x.numel():
        return found.zero_()
    kernel = kernel_for(Product.WEIGHT, rows, found, backend)
    with _without_autocast(dout):
        return kernel.by_weight(rows, _rows(x)).contiguous()


@fake("linear")
def _(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> Tensor:
    return x.new_empty(_shape(x, weight))


@fake("linear_input_gradient")
def _(dout: Tensor, weight: Tensor, backend: str) -> Tensor:
    return dout.new_empty((*dout.shape[:-1], weight.shape[1]))


@fake("linear_weight_gradient")
def _(dout: Tensor, x: Tensor, backend: str) -> Tensor:
    return dout.new_empty(dout.shape[-1], x.shape[-1])


def _is_for_torch(x: Tensor, weight: Tensor) -> bool:
    """Whether PyTorch's own is called without a choice."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return True
    if torch.is_autocast_enabled("cpu"):
        return True
    if torch.compiler.is_compiling():
        # In torch.compile `is_exporting()` is folded to True; its flag is not.
        return bool(getattr(torch.compiler, "_is_exporting_flag", False))
    return (
        x.numel() * weight.shape[0] < SMALL
        or type(x) not in _PLAIN
        or type(weight) not in _PLAIN
        or torch._C._functorch.peek_interpreter_stack() is not None
        or forward_ad._current_level >= 0
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    )


def _without_autocast(x: Tensor) -> torch.autocast | nullcontext[None]:
    """The products have the types of what they are given."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def _rows(x: Tensor) -> Tensor:
    """(m, k), a view where that can be."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def _shape(x: Tensor, weight: Tensor) -> tuple[int, ...]:
    return (*x.shape[:-1], weight.shape[0])


def _setup_context(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[object, ...], output: Tensor
) -> None:
    x, weight, _, backend = inputs
    ctx.save_for_backward(x, weight)  # type: ignore[arg-type]
    ctx.backend = backend  # type: ignore[attr-defined]


def _autograd(ctx: torch.autograd.function.FunctionCtx, dout: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
    backend = ctx.backend  # type: ignore[attr-defined]
    _, of_x, of_weight, of_bias, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
    dx = dweight = dbias = None
    again = torch.is_grad_enabled()
    if of_x:
        dx = dout @ weight if again else input_operator(dout, weight, backend)
    if of_weight:
        dweight = _rows(dout).T @ _rows(x) if again else weight_operator(dout, x, backend)
    if of_bias:
        dbias = _rows(dout).sum(0)
    return dx, dweight, dbias, None


gradient("linear", _autograd, _setup_context)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raises ValueError where shapes or types do not fit."""
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"linear: x is {tuple(x.shape)}, the weight is {tuple(weight.shape)}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias is {tuple(bias.shape)}, expected {(weight.shape[0],)}")
    for name, v in (("weight", weight), ("bias", bias)):
        if v is not None and v.dtype != x.dtype:
            raise ValueError(f"linear: {name} is {v.dtype}, x is {x.dtype}")
