"""What PyTorch's counter of floating-point operations is told of our operators.

It counts two for each multiply-accumulate of products of matrices and convolutions; scans are not counted.
"""

from __future__ import annotations

import sys
from math import prod
from typing import Any

import torch

Size = tuple[int, ...]


def tell_counters() -> None:
    """Registers the formulas with the counter, and with those that run; nothing where it is not loaded.

    Loading it takes long, and loads Triton.
    """
    if torch.compiler.is_compiling():
        return
    module = sys.modules.get("torch.utils.flop_counter")
    if module is None or torch.ops.archdsl.mamba_inner in module.flop_registry:
        return
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
    from torch.utils.flop_counter import FlopCounterMode, flop_registry, register_flop_formula

    formulas: dict[Any, Any] = {
        torch.ops.archdsl.conv1d: _conv1d,
        torch.ops.archdsl.conv1d_backward: _conv1d_backward,
        torch.ops.archdsl.linear: _linear,
        torch.ops.archdsl.linear_input_gradient: _linear,
        torch.ops.archdsl.linear_weight_gradient: _linear_weight_gradient,
        torch.ops.archdsl.mamba_inner: _mamba_inner,
        torch.ops.archdsl.mamba_inner_backward: _mamba_inner_backward,
    }
    for operator, formula in formulas.items():
        register_flop_formula(operator)(formula)
    for mode in _get_current_dispatch_mode_stack():
        counter = getattr(mode, "counter", mode)  # a mode of its own in newer releases of torch
        if isinstance(counter, FlopCounterMode):
            counter.flop_registry.update({operator: flop_registry[operator] for operator in formulas})


def _conv1d(x: Size, weight: Size, *_: object, **__: object) -> int:
    return 2 * x[-3] * x[-2] * prod(weight)


def _conv1d_backward(dout: object, x: Size, weight: Size, *_: object, **__: object) -> int:
    """Twice the forward, which is computed again before silu."""
    return 3 * _conv1d(x, weight)


def _linear(rows: Size, weight: Size, *_: object, **__: object) -> int:
    """The result, or the gradient of the input for that of the result."""
    return 2 * prod(rows[:-1]) * prod(weight)


def _linear_weight_gradient(dout: Size, x: Size, *_: object, **__: object) -> int:
    return 2 * prod(dout) * x[-1]


def _mamba_inner(
    xz: Size,
    conv: Size | None,
    bias: object,
    x_proj: Size,
    dt_proj: Size,
    *_: object,
    **__: object,
) -> int:
    return 2 * sum(_macs(xz, conv, x_proj, dt_proj))


def _mamba_inner_backward(
    dout: object,
    xz: Size,
    conv: Size | None,
    bias: object,
    x_proj: Size,
    dt_proj: Size,
    *_: object,
    **__: object,
) -> int:
    """Twice the forward, and what is computed again."""
    convolved, projected, stepped = _macs(xz, conv, x_proj, dt_proj)
    return 2 * (3 * convolved + 2 * projected + 3 * stepped)


def _macs(xz: Size, *weights: Size | None) -> list[int]:
    """Multiply-accumulates with the weights, once for every step."""
    return [0 if shape is None else xz[0] * xz[1] * prod(shape) for shape in weights]
