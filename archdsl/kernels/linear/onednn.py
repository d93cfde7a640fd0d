"""A linear map by oneDNN, which comes with PyTorch and is asked for float32 through an operator of its own.

PyTorch's `F.linear` multiplies float32 by MKL, which does not use all that processors of others than
Intel have. oneDNN makes its code for the processor at hand.

`mkldnn::_linear_pointwise` is no public operator: it is taken with the signature that is known, or not at
all. It is slower by orders of magnitude where its first argument is transposed; its weight may be.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archdsl.kernels.linear.inputs import Call, Kernel

SIGNATURE = (
    "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, "
    "str? algorithm) -> Tensor Y"
)


def available() -> str | None:
    """Why it is not here, None where it is."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return "this PyTorch is built without oneDNN"
    found = _operator()
    if found is None:
        return "this PyTorch has no mkldnn::_linear_pointwise"
    if str(found._schema) != SIGNATURE:
        return f"in this PyTorch it is {found._schema}"
    return None


def supports(call: Call) -> str | None:
    """Why it does not serve a call, None where it does."""
    if call.device != "cpu":
        return "it runs on the CPU"
    if call.dtype != torch.float32:
        return "it is for float32; PyTorch multiplies halves by oneDNN anyway"
    if not call.exact:
        return "torch.set_float32_matmul_precision allows less than float32, which is PyTorch's own to do"
    return None


def load() -> Kernel:
    """The three products."""
    return Kernel(forward, by_input, by_weight)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """The result (m, n)."""
    found = _product(x, _rows(weight), bias)
    return found if out is None else out.copy_(found)


def by_input(dout: Tensor, weight: Tensor, onto: Tensor | None = None) -> Tensor:
    """The gradient of x (m, k)."""
    found = _product(dout, _rows(weight).T)
    return found if onto is None else onto.add_(found)


def by_weight(dout: Tensor, x: Tensor) -> Tensor:
    """The gradient of the weight (n, k); the smaller of the two is the one that is turned in memory."""
    if dout.shape[1] <= x.shape[1]:
        return _product(dout.T, _rows(x).T)
    return _product(x.T, _rows(dout).T).T


def _operator() -> Any:
    packet = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return getattr(packet, "default", None)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise.default(x.contiguous(), weight, bias, "none", [], "")
    return found


def _rows(v: Tensor) -> Tensor:
    """With rows that do not overlap, numbers of a row side by side."""
    return v if v.stride(1) == 1 and v.stride(0) >= v.shape[1] else v.contiguous()
