"""The kernels that can serve a depthwise convolution along the sequence, the preferred first."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from archdsl.kernels.conv1d import reference
from archdsl.kernels.conv1d.inputs import Call, Gradients, Inputs
from archdsl.kernels.ladder import Candidate, Ladder


class Forward(Protocol):
    """The forward of a kernel: (r, b, l, d), contiguous, in the type of the sequence."""

    def __call__(self, x: Inputs) -> Tensor: ...


class Backward(Protocol):
    """The backward of a kernel, from the gradient (r, b, l, d) of the result."""

    def __call__(self, dout: Tensor, x: Inputs) -> Gradients: ...


class Kernel(NamedTuple):
    """The two functions of a kernel."""

    forward: Forward
    backward: Backward


LADDER: Ladder[Call, Kernel] = Ladder(
    "depthwise convolution",
    (
        Candidate(
            "reference",
            available=lambda: None,
            supports=lambda call: None,
            load=lambda: Kernel(reference.forward, reference.backward),
        ),
    ),
)
"""The reference, in plain PyTorch, serves every call on every device."""


def kernel_for(call: Call, backend: str) -> Kernel:
    """The kernel that serves a call.

    Args:
        call: what it is asked to do.
        backend: a name, also one that only the selective scan has: that is `auto` here.

    Raises:
        ValueError: where the kernel of that name can't serve the call.
    """
    known = backend in {candidate.name for candidate in LADDER.candidates}
    return LADDER.choose(call, backend if known else "auto").load()
