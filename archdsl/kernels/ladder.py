"""The kernels of an operator in order of preference, and which of them serves a call.

No import and no version is trusted: before a kernel serves its first call on a device, in a type and a
memory layout, it is compared with the operator's reference there, forward and backward
(`archdsl.kernels.proof`); on the CPU a test that was passed lasts until what it rests on changes
(`archdsl.kernels.kept`). One that fails is passed over, with its reason kept, and the next serves.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple

import torch

from archdsl.kernels import kept
from archdsl.kernels.candidate import (
    AnyCall,
    C,
    Candidate,
    Choice,
    K,
    KernelError,
    KernelWarning,
    Refusal,
)
from archdsl.kernels.proof import Measured, Proof, tested, told

__all__ = [
    "AUTO",
    "LADDERS",
    "VARIABLE",
    "AnyCall",
    "Candidate",
    "Choice",
    "KernelError",
    "KernelWarning",
    "Ladder",
    "Refusal",
    "backends",
    "check_backend",
]

VARIABLE = "ARCHDSL_BACKEND"
"""Environment variable that names the kernel where `backend` is `auto`."""
AUTO = "auto"
REMEMBERED = 1024
"""Calls whose choice is kept; when there are more, they are chosen for anew."""


class _Place(NamedTuple):
    """What a proof holds for; `number` is that of the caller's CUDA device, 0 elsewhere."""

    device: str
    number: int
    dtype: torch.dtype
    layout: str

    @property
    def text(self) -> str:
        return f"{self.device} in {str(self.dtype).removeprefix('torch.')}"


class Ladder(Generic[C, K]):
    """The candidates of an operator, the preferred first.

    Args:
        operator: its name.
        candidates: the last one is the reference: it serves every call, and is taken at its word.
        prove: compares a loaded kernel with the reference on the device, in the type and layout of a call, on
            small inputs that the candidate `supports`: gives every comparison, raises what it likes. Runs in
            a thread of its own, see `archdsl.kernels.proof.tested`.
        typical: a common call on a type of device, in a type and layout, for reports.
    """

    def __init__(
        self,
        operator: str,
        candidates: tuple[Candidate[C, K], ...],
        prove: Callable[[K, C, Callable[[C], str | None]], Iterable[Measured]],
        typical: Callable[[str, torch.dtype, str], C],
    ) -> None:
        self.operator = operator
        self.candidates = candidates
        self._own = candidates
        self._trusts_files = True
        self.typical = typical
        self._prove = prove
        self._proofs: dict[tuple[Candidate[C, K], _Place], Proof] = {}
        self._choices: dict[tuple[C, int, str | None, str], Choice[C, K]] = {}
        self._warned: set[tuple[Candidate[C, K], _Place]] = set()
        self._lock = threading.Lock()
        LADDERS.append(self)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the candidates."""
        return tuple(c.name for c in self.candidates)

    def choose(self, call: C, backend: str = AUTO) -> Candidate[C, K]:
        """The candidate that serves the call: the first that can and proved itself, or the one named.

        Where `backend` is `auto`, the environment variable ARCHDSL_BACKEND may name one; a name that only
        other operators have leaves the choice to `auto`. A kernel that is named has to prove itself too.

        Raises:
            KernelError: a ValueError; where a name is no candidate's, or that candidate can't serve the call
                or failed its test.
            RuntimeError: where a kernel would have to be tested while a CUDA graph is captured.
        """
        return self.explain(call, backend).candidate

    def explain(self, call: C, backend: str = AUTO) -> Choice[C, K]:
        """As `choose`, with the candidates that `auto` passed over."""
        variable = os.environ.get(VARIABLE) if backend == AUTO else None
        key = (call, _number(call), variable, backend)
        known = self._choices.get(key)
        if known is not None:
            return known
        choices = self._choices
        choice, lasting = self._decide(call, *self._wanted(variable, backend))
        if lasting:
            if len(choices) >= REMEMBERED:
                choices.clear()
            choices[key] = choice
        return choice

    def proof(self, candidate: Candidate[C, K], call: C) -> Proof:
        """What the test of a candidate shows where a call is made; the first result is kept.

        Raises:
            RuntimeError: where it would have to be tested while a CUDA graph is captured.
        """
        place = _place(call)
        known = self._proofs.get((candidate, place))
        if known is not None:
            return known
        if call.device == "cuda" and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"the kernel `{candidate.name}` of the {self.operator} has not proved itself on {place.text} "
                "and can't be tested while a CUDA graph is captured: make one call before the capture"
            )
        if self in _tested_now():
            raise RuntimeError(f"a kernel of the {self.operator} calls the {self.operator}")
        with self._lock:
            known = self._proofs.get((candidate, place))
            if known is None:
                known = self._shown(candidate, call)
                if known.lasting:
                    self._proofs[candidate, place] = known
        return known

    def _shown(self, candidate: Candidate[C, K], call: C) -> Proof:
        """What a test shows, of an earlier process where that is as good."""
        ours = any(candidate is c for c in self._own)
        if call.device != "cpu" or not ours or candidate.origin is None or not self._trusts_files:
            return self.test(candidate, call)
        holds_for = (self.operator, candidate.name, str(call.dtype), call.layout)
        return kept.proof(candidate.origin, holds_for, lambda: self.test(candidate, call))

    def doubt(self) -> None:
        """From here on, tests that other processes made don't count in this one; all are made again."""
        with self._lock:
            self._trusts_files = False
            self._proofs.clear()
            self._choices = {}

    def test(self, candidate: Candidate[C, K], call: C) -> Proof:
        """Tests a candidate where a call is made, whatever is known of it; nothing is kept."""
        within = (*_tested_now(), self)

        def comparisons() -> Iterator[Measured]:
            _now.ladders = within
            yield from self._prove(candidate.load(), call, candidate.supports)

        return tested(comparisons)

    def missing(self, candidate: Candidate[C, K]) -> str | None:
        """Why a candidate is not here, None where it is."""
        try:
            return candidate.available()
        except Exception as error:
            return f"asked whether it is here, it raises {told(error)}"

    def obstacle(self, candidate: Candidate[C, K], call: C) -> str | None:
        """Why a candidate can't serve a call, as far as is known without a test; None where it can."""
        try:
            return self.missing(candidate) or candidate.supports(call)
        except Exception as error:
            return f"asked whether it serves, it raises {told(error)}"

    @contextmanager
    def with_candidates(self, *candidates: Candidate[C, K]) -> Iterator[None]:
        """Puts candidates first, or in the place of those with their names, while the context lasts.

        For the whole process: kernels run in many threads.

        >>> from archdsl.kernels.selective_scan import LADDER
        >>> from archdsl.kernels.ladder import Candidate
        >>> def never():
        ...     raise ImportError("no driver")
        >>> mine = Candidate("mine", lambda: None, lambda call: None, never)
        >>> with LADDER.with_candidates(mine):
        ...     LADDER.choose(LADDER.typical("cpu", torch.float32, "bld"), "mine")
        Traceback (most recent call last):
        archdsl.kernels.candidate.KernelError: the kernel `mine` can't serve this selective scan: it failed \
its test on cpu in float32: ImportError: no driver
        """
        before = self.candidates
        given = {c.name: c for c in candidates}
        fresh = tuple(c for c in given.values() if c.name not in self.names)
        self._put((*fresh, *(given.get(c.name, c) for c in before)))
        try:
            yield
        finally:
            self._put(before)

    def _put(self, candidates: tuple[Candidate[C, K], ...]) -> None:
        self.candidates = candidates
        self._choices = {}

    def _wanted(self, variable: str | None, backend: str) -> tuple[str | None, str]:
        """The name asked for, None for `auto`, and who asked."""
        if backend != AUTO:
            return backend, ""
        if variable in (None, "", AUTO) or (variable not in self.names and variable in backends()):
            return None, ""
        return variable, f"{VARIABLE}: "

    def _decide(self, call: C, wanted: str | None, asker: str) -> tuple[Choice[C, K], bool]:
        """The choice, and whether it would be the same another time."""
        if wanted is not None:
            return self._named(call, wanted, asker)
        candidates = self.candidates
        refusals: list[Refusal] = []
        lasting = True
        for candidate in candidates:
            if candidate.devices and call.device not in candidate.devices:
                continue
            reason, slower = self.obstacle(candidate, call), None
            if reason is None and candidate is not candidates[-1]:
                proof = self.proof(candidate, call)
                lasting = lasting and proof.lasting
                reason = proof.reason and _failed(proof.reason, _place(call))
                if reason is not None:
                    self._warn(candidate, _place(call), reason)
                elif candidate.slower is not None:
                    slower = candidate.slower(call)
            if reason is None and slower is None:
                return Choice(candidate, tuple(refusals)), lasting
            refusals.append(Refusal(candidate.name, reason or slower or "", slower is not None))
        told_all = "; ".join(f"{refusal.name}: {refusal.reason}" for refusal in refusals)
        raise KernelError(f"no kernel serves this {self.operator} ({told_all})")

    def _named(self, call: C, wanted: str, asker: str) -> tuple[Choice[C, K], bool]:
        candidates = self.candidates
        candidate = next((c for c in candidates if c.name == wanted), None)
        if candidate is None:
            known = ", ".join(self.names)
            raise KernelError(
                f"{asker}no kernel `{wanted}` for the {self.operator}; there are: auto, {known}"
            )
        reason = self.obstacle(candidate, call)
        if reason is None and candidate is not candidates[-1]:
            proof = self.proof(candidate, call)
            reason = proof.reason and _failed(proof.reason, _place(call))
        if reason is not None:
            raise KernelError(f"{asker}the kernel `{wanted}` can't serve this {self.operator}: {reason}")
        return Choice(candidate), True

    def _warn(self, candidate: Candidate[C, K], place: _Place, reason: str) -> None:
        if (candidate, place) in self._warned:
            return
        self._warned.add((candidate, place))
        warnings.warn(
            f"the kernel `{candidate.name}` of the {self.operator} is passed over, a slower one serves: "
            f"{reason} (`archdsl doctor` tells more)",
            KernelWarning,
            stacklevel=2,
        )

    def _after_fork(self) -> None:
        self._lock = threading.Lock()


LADDERS: list[Ladder[Any, Any]] = []
"""Those of all operators."""


def backends() -> tuple[str, ...]:
    """The names of all kernels of all operators."""
    return tuple(dict.fromkeys(name for ladder in LADDERS for name in ladder.names))


def check_backend(backend: str = AUTO, names: tuple[str, ...] | None = None) -> None:
    """Refuses names that no kernel has.

    Args:
        backend: a name, or `auto`, for which ARCHDSL_BACKEND is looked at: it may name one of any operator.
        names: those that `backend` may be, None for those of all operators.

    Raises:
        KernelError: for such a name.
    """
    asker, wanted = "", backend
    known = (AUTO, *(backends() if names is None or backend == AUTO else names))
    if backend == AUTO:
        asker, wanted = f"{VARIABLE}: ", os.environ.get(VARIABLE) or AUTO
    if wanted not in known:
        raise KernelError(f"{asker}there is no backend {wanted!r}: one of {', '.join(known)}")


def _failed(reason: str, place: _Place) -> str:
    return f"it failed its test on {place.text}: {reason}"


def _place(call: AnyCall) -> _Place:
    return _Place(call.device, _number(call), call.dtype, call.layout)


def _number(call: AnyCall) -> int:
    """Of the caller's device."""
    return torch.cuda.current_device() if call.device == "cuda" else 0


class _Now(threading.local):
    """The ladders whose candidates this thread tests, one from within the other."""

    ladders: tuple[Ladder[Any, Any], ...] = ()


_now = _Now()


def _tested_now() -> tuple[Ladder[Any, Any], ...]:
    return _now.ladders


def _after_fork() -> None:
    for ladder in LADDERS:
        ladder._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
