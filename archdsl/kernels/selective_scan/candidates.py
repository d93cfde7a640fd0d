"""The kernels that can serve a selective scan, the preferred first."""

from __future__ import annotations

from archdsl.kernels.jit import origin
from archdsl.kernels.ladder import Candidate, Ladder
from archdsl.kernels.selective_scan import mamba_ssm, numba, proving, reference, triton
from archdsl.kernels.selective_scan.inputs import Call, Kernel

LADDER: Ladder[Call, Kernel] = Ladder(
    "selective scan",
    (
        Candidate("mamba_ssm", mamba_ssm.available, mamba_ssm.supports, mamba_ssm.load, ("cuda",)),
        Candidate("triton", triton.available, triton.supports, triton.load, ("cuda",)),
        Candidate("numba", numba.available, numba.supports, numba.load, ("cpu",), origin),
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


def chosen(call: Call, backend: str = "auto") -> str:
    """The name of the kernel that serves the call.

    Raises:
        ValueError: see `Ladder.choose`.
    """
    return LADDER.choose(call, backend).name
