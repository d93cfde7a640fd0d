"""What a way to compute a scan is, ours or another's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from archdsl.cli.bench.problems import Problem

EVERY = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Ready:
    """A way with its inputs in the memory order that it wants.

    Args:
        forward: gives y (b, l, d).
        both: forward and backward: gives the gradients of the eight inputs, in the shapes of `Problem`'s.
    """

    forward: Callable[[], Tensor]
    both: Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to compute a scan.

    Args:
        name: in tables and files.
        what: what is timed, in a few words.
        missing: why it is not here, with the command that would bring it; empty where it is here.
        prepare: takes a problem.
        dtypes: that it computes in.
        refuses: why it does not run a pass (`forward`, `both`) of a problem, empty where it does.
    """

    name: str
    what: str
    missing: Callable[[], str]
    prepare: Callable[[Problem], Ready]
    dtypes: tuple[str, ...] = EVERY
    refuses: Callable[[Problem, str], str] = field(default=lambda problem, which: "")


def never_missing() -> str:
    """It comes with archdsl."""
    return ""


def backward_up_to(steps: int, why: str) -> Callable[[Problem, str], str]:
    """Refuses the backward of longer sequences."""

    def refuses(problem: Problem, which: str) -> str:
        length = problem.u.shape[1]
        return (
            f"its backward is not run beyond {steps} steps: {why}"
            if which == "both" and length > steps
            else ""
        )

    return refuses


def through_autograd(
    scan: Callable[..., Tensor],
    arguments: tuple[Tensor, ...],
    dout: Tensor,
    restore: Callable[[Tensor], Tensor],
) -> Ready:
    """A function of torch, forward without and backward with autograd.

    Args:
        scan: takes `arguments`.
        arguments: as the function wants them.
        dout: in the shape that it returns.
        restore: swaps what has three dimensions into the order of `Problem`.
    """
    import torch

    leaves = tuple(v.detach().clone(memory_format=torch.preserve_format).requires_grad_() for v in arguments)

    def forward() -> Tensor:
        with torch.no_grad():
            return restore(scan(*arguments))

    def both() -> tuple[Tensor, ...]:
        found = torch.autograd.grad(scan(*leaves), leaves, dout)
        return tuple(restore(g) if g.ndim == 3 else g for g in found)

    return Ready(forward, both)


def as_it_is(v: Tensor) -> Tensor:
    """For channels last."""
    return v


def transposed(v: Tensor) -> Tensor:
    """Between (b, l, d) and (b, d, l)."""
    return v.transpose(1, 2)


def steps_last(problem: Problem) -> tuple[tuple[Tensor, ...], Tensor]:
    """The arguments and the gradient as mamba_ssm takes them: u, delta, z (b, d, l), B, C (b, n, l)."""
    given = tuple(transposed(v).contiguous() if v.ndim == 3 else v for v in problem.arguments)
    return given, transposed(problem.dout).contiguous()
