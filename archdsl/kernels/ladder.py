"""The kernels of an operator in order of preference, and which of them serves a call."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

VARIABLE = "ARCHDSL_BACKEND"
"""Environment variable that names the kernel where `backend` is `auto`."""


class AnyCall(Protocol):
    """What every operator's description of a call has: the type of the device and of the numbers."""

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> torch.dtype: ...


C = TypeVar("C", bound=AnyCall)
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[C, K]):
    """One implementation of an operator.

    Args:
        name: what `backend` calls it.
        available: why this machine or installation does not have it, None where it does; cheap, never raises.
        supports: why it does not serve a call, None where it does.
        load: imports what it needs and returns its functions.
    """

    name: str
    available: Callable[[], str | None]
    supports: Callable[[C], str | None]
    load: Callable[[], K]


class Ladder(Generic[C, K]):
    """The candidates of an operator, the preferred first.

    Args:
        operator: its name.
        candidates: the last one serves every call.
    """

    def __init__(self, operator: str, candidates: tuple[Candidate[C, K], ...]) -> None:
        self.operator = operator
        self.candidates = candidates

    def choose(self, call: C, backend: str = "auto") -> Candidate[C, K]:
        """The candidate that serves the call: the first that can, or the one named.

        Raises:
            ValueError: where `backend`, or the environment variable, is no candidate's name, or that
                candidate can't serve the call.
        """
        wanted = os.environ.get(VARIABLE, "auto") if backend == "auto" else backend
        for candidate in self.candidates:
            if wanted not in ("auto", candidate.name):
                continue
            reason = candidate.available() or candidate.supports(call)
            if reason is None:
                return candidate
            if wanted == candidate.name:
                raise ValueError(f"the kernel `{wanted}` can't serve this {self.operator}: {reason}")
        known = ", ".join(c.name for c in self.candidates)
        raise ValueError(f"no kernel `{wanted}` for the {self.operator}; there are: auto, {known}")
