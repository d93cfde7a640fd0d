"""Operators of torch made from functions, under `torch.ops.archdsl`.

`torch.library.custom_op` does the same, but the first call of what it makes imports all of torch.compile,
only to keep it away from the function: most of the time of a process's first scan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])

_library = torch.library.Library("archdsl", "FRAGMENT")  # type: ignore[no-untyped-call]
"""Kept: an operator lives as long as the library that it was registered with."""


def operator(name: str, *, differentiable: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Makes the function below an operator; it changes no argument, and returns none.

    What it takes and returns is read from its types.

    Args:
        name: of the operator.
        differentiable: where it isn't, going backward through it raises a RuntimeError; where it is,
            `gradient` has to be told how.
    """

    def register(function: Callable[..., Any]) -> Any:
        schema = torch.library.infer_schema(function, mutates_args=())
        _library.define(name + schema, tags=[torch.Tag.pt2_compliant_tag])  # type: ignore[no-untyped-call]
        _library.impl(name, function, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
        if not differentiable:
            gradient(name, _refusal(name), None)
        return getattr(torch.ops.archdsl, name).default

    return register


def fake(name: str) -> Callable[[F], F]:
    """Has the function below make the operator's outputs without computing them."""

    def register(function: F) -> F:
        torch.library.register_fake(f"archdsl::{name}", function, lib=_library)
        return function

    return register


def gradient(name: str, backward: Callable[..., Any], setup_context: Callable[..., None] | None) -> None:
    """How to go backward through an operator that takes no lists of tensors.

    As `torch.library.register_autograd`, but that one walks through the schema at every call with gradients,
    which takes longer than a short scan.

    Args:
        name: of the operator.
        backward: the gradients of its arguments, from a context and the gradients of what it returned.
        setup_context: puts into the context what `backward` needs, of the arguments and of what it returned.
    """
    forward = getattr(torch.ops.archdsl, name).default

    class Differentiable(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, below: Any, *inputs: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                output = forward.redispatch(below, *inputs)
            if setup_context is not None:
                setup_context(ctx, inputs, output)
            return output

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor | None) -> Any:
            return (None, *backward(ctx, *gradients))

    def run(keys: Any, *inputs: Any) -> Any:
        below = keys & torch._C._after_autograd_keyset
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*inputs):
            return Differentiable.apply(below, *inputs)  # type: ignore[no-untyped-call]
        with torch._C._AutoDispatchBelowAutograd():
            return forward.redispatch(below, *inputs)

    _library.impl(name, run, "Autograd", with_keyset=True)  # type: ignore[no-untyped-call]


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(ctx: Any, *gradients: Any) -> NoReturn:
        raise RuntimeError(f"archdsl::{name} is a gradient, and has none itself")

    return refuse
