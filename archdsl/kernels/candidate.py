"""One implementation of an operator, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch


class AnyCall(Protocol):
    """What every operator's description of a call has: type of the device, of the numbers, memory layout."""

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def layout(self) -> str: ...


C = TypeVar("C", bound=AnyCall)
K = TypeVar("K")


class KernelError(ValueError):
    """A kernel that was asked for by name does not exist or can't serve."""


class KernelWarning(UserWarning):
    """A kernel that `auto` would have taken failed its test."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate(Generic[C, K]):
    """One implementation of an operator.

    Args:
        name: what `backend` calls it.
        available: why this machine or installation does not have it, None where it does; cheap.
        supports: why it does not serve a call, None where it does.
        load: imports what it needs and returns its functions.
        devices: types of device on which `auto` takes it, all where empty. By its name it is taken wherever
            `supports` lets it.
        origin: what its machine code on the CPU is made from and by, as text, empty where that is not known;
            a test that it passed holds for later processes with the same. Without it each process tests.
        slower: why `auto` leaves a call to the kernels behind it all the same, None where it does not; asked
            once the kernel has proved itself. None where it always is the faster one.
    """

    name: str
    available: Callable[[], str | None]
    supports: Callable[[C], str | None]
    load: Callable[[], K]
    devices: tuple[str, ...] = ()
    origin: Callable[[], str] | None = None
    slower: Callable[[C], str | None] | None = None


class Refusal(NamedTuple):
    """A kernel that did not serve a call, and why; `slower` where it could have."""

    name: str
    reason: str
    slower: bool = False


class Choice(NamedTuple, Generic[C, K]):
    """The kernel that serves a call, and those that were preferred and could not."""

    candidate: Candidate[C, K]
    passed_over: tuple[Refusal, ...] = ()

    @property
    def name(self) -> str:
        """Of the kernel."""
        return self.candidate.name
