"""The kernels that can serve a selective scan, fastest first, and which of them does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from archdsl.kernels.selective_scan import reference
from archdsl.kernels.selective_scan.inputs import Call, Gradients, Inputs


@dataclass(frozen=True, slots=True)
class Candidate:
    """One implementation.

    Args:
        name: what `backend` calls it.
        available: whether this machine and installation have it.
        refusal: why it doesn't serve a call, None where it does.
        forward: inputs to output.
        backward: gradient of the output and inputs to gradients.
    """

    name: str
    available: Callable[[], bool]
    refusal: Callable[[Call], str | None]
    forward: Callable[[Inputs], Tensor]
    backward: Callable[[Tensor, Inputs], Gradients]


CANDIDATES: tuple[Candidate, ...] = (
    Candidate("reference", lambda: True, lambda call: None, reference.forward, reference.backward),
)


def choose(call: Call, backend: str = "auto") -> Candidate:
    """The candidate that serves the call: the first that can, or the one named.

    Raises:
        ValueError: where `backend` is no candidate's name, or that candidate can't serve the call.
    """
    for candidate in CANDIDATES:
        if backend not in ("auto", candidate.name):
            continue
        reason = candidate.refusal(call) if candidate.available() else "it is not available here"
        if reason is None:
            return candidate
        if backend == candidate.name:
            raise ValueError(f"the kernel `{backend}` can't serve this selective scan: {reason}")
    known = ", ".join(c.name for c in CANDIDATES)
    raise ValueError(f"no kernel `{backend}` for the selective scan; there are: auto, {known}")


def chosen(call: Call, backend: str = "auto") -> str:
    """The name of the candidate that serves the call, see `choose`."""
    return choose(call, backend).name
