"""The kernels that can serve a depthwise convolution along the sequence, the preferred first."""

from __future__ import annotations

from archdsl.kernels.conv1d import numba, proving, reference, triton
from archdsl.kernels.conv1d.inputs import Call, Kernel
from archdsl.kernels.jit import missing, origin
from archdsl.kernels.ladder import Candidate, Ladder


def _load_numba() -> Kernel:
    from archdsl.kernels.conv1d.numba.backward import backward
    from archdsl.kernels.conv1d.numba.forward import forward

    return Kernel(forward, backward)


LADDER: Ladder[Call, Kernel] = Ladder(
    "depthwise convolution",
    (
        Candidate("triton", triton.available, triton.supports, triton.load, ("cuda",)),
        Candidate(
            "numba",
            available=missing,
            supports=numba.supports,
            load=_load_numba,
            devices=("cpu",),
            origin=origin,
        ),
        Candidate(
            "reference",
            available=lambda: None,
            supports=lambda call: None,
            load=lambda: Kernel(reference.forward, reference.backward),
        ),
    ),
    proving.prove,
    proving.typical,
)
"""The reference, in plain PyTorch, serves every call on every device."""


def kernel_for(call: Call, backend: str) -> Kernel:
    """The kernel that serves a call.

    Args:
        call: what it is asked to do.
        backend: a name, also one that only other operators have: that is `auto` here.

    Raises:
        ValueError: where the kernel of that name can't serve the call.
    """
    return LADDER.choose(call, backend if backend in LADDER.names else "auto").load()
