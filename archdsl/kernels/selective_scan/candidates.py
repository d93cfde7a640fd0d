"""The kernels that can serve a selective scan, the preferred first."""

from __future__ import annotations

from archdsl.kernels.ladder import Candidate, Ladder
from archdsl.kernels.selective_scan import proving, reference
from archdsl.kernels.selective_scan.inputs import Call, Kernel

LADDER: Ladder[Call, Kernel] = Ladder(
    "selective scan",
    (
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
