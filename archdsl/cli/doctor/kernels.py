"""Every kernel of every operator, tried on every device in every type."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

import torch

from archdsl.kernels import cache, ladder
from archdsl.kernels.ladder import Candidate, KernelError, Ladder

TYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Float64 is for tests: the reference serves it."""


class Result(StrEnum):
    """What became of a kernel at one place."""

    SERVES = "serves"
    READY = "proved"
    FAILED = "failed"
    UNFIT = "does not fit"
    MISSING = "not here"


class Place(NamedTuple):
    """An operator on one device, in one type and memory layout."""

    operator: str
    device: str
    dtype: str
    layout: str

    @property
    def text(self) -> str:
        """In words."""
        order = "" if self.layout == "bld" else ", channels before steps"
        return f"{self.operator} on {self.device} in {self.dtype}{order}"


@dataclass(frozen=True, slots=True)
class Tried:
    """One kernel, tried at one place.

    Args:
        reason: why it does not serve; empty where it could.
        what: the comparison with the largest error, as a share of what is allowed.
        first: seconds of its first test, imports and compilation included.
        again: seconds of another test, compiled code being there.
    """

    place: Place
    kernel: str
    result: Result
    reason: str = ""
    what: str = ""
    error: float | None = None
    allowed: float | None = None
    first: float | None = None
    again: float | None = None


@dataclass(frozen=True, slots=True)
class Unserved:
    """A place where no kernel serves, or not the one that was asked for."""

    place: Place
    reason: str


def devices() -> list[tuple[str, str]]:
    """What kernels can run on, with descriptions; of GPUs that are alike the first."""
    found = [("cpu", f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")]
    alike = set()
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        text = f"{about.name}, compute capability {about.major}.{about.minor}, {about.total_memory >> 30} GiB"
        if text not in alike:
            alike.add(text)
            found.append((f"cuda:{number}", text))
    return found


def kept_in() -> tuple[str | None, str]:
    """The folder in which compiled kernels are kept, None where there is none; and why others are not."""
    folder, reasons = cache.place()
    return (None if folder is None else str(folder)), reasons


def asked_for() -> str | None:
    """The kernel that ARCHDSL_BACKEND names.

    Raises:
        KernelError: where no kernel has that name.
    """
    ladder.check_backend()
    named = os.environ.get(ladder.VARIABLE) or ladder.AUTO
    return None if named == ladder.AUTO else named


def operators() -> list[str]:
    """Their names."""
    return [x.operator for x in ladder.LADDERS]


def elsewhere() -> dict[str, list[str]]:
    """Kernels for types of device that are not here, by operator."""
    here = {torch.device(name).type for name, _ in devices()}
    return {
        each.operator: names
        for each in ladder.LADDERS
        if (
            names := [
                f"{c.name} ({', '.join(c.devices)})"
                for c in each.candidates
                if c.devices and not here & {*c.devices}
            ]
        )
    }


def examine(layouts: tuple[str, ...], say: Callable[[str], None]) -> Iterator[Tried | Unserved]:
    """Tries every kernel, whatever earlier processes found.

    Args:
        layouts: memory layouts to try, `bld` and `bdl`.
        say: told what is done next.
    """
    for each in ladder.LADDERS:
        each.doubt()
        for name, _ in devices():
            for dtype in TYPES:
                for layout in layouts:
                    with _on(name):
                        yield from _examined(each, name, dtype, layout, say)


def _on(device: str) -> AbstractContextManager[object]:
    return torch.cuda.device(device) if device.startswith("cuda") else nullcontext()


def _examined(
    each: Ladder[Any, Any], device: str, dtype: torch.dtype, layout: str, say: Callable[[str], None]
) -> Iterator[Tried | Unserved]:
    call = each.typical(torch.device(device).type, dtype, layout)
    place = Place(each.operator, device, str(dtype).removeprefix("torch."), layout)
    say(f"{place.text}: choosing a kernel")
    serves, reason = None, ""
    slower: dict[str, str] = {}
    try:
        choice = each.explain(call)
        serves = choice.name
        slower = {refusal.name: refusal.reason for refusal in choice.passed_over if refusal.slower}
    except KernelError as error:
        reason = str(error)
    for candidate in each.candidates:
        if candidate.devices and call.device not in candidate.devices and candidate.name != serves:
            continue
        say(f"{place.text}: testing {candidate.name}")
        tried = _tried(each, candidate, call, place, candidate.name == serves)
        yield replace(tried, reason=tried.reason or slower.get(candidate.name, ""))
    if serves is None:
        yield Unserved(place, reason)


def _tried(
    each: Ladder[Any, Any], candidate: Candidate[Any, Any], call: Any, place: Place, serves: bool
) -> Tried:
    name = candidate.name
    missing = each.missing(candidate)
    if missing is not None:
        return Tried(place, name, Result.MISSING, missing)
    unfit = each.obstacle(candidate, call)
    if unfit is not None:
        return Tried(place, name, Result.UNFIT, unfit)
    proof = each.proof(candidate, call)
    worst = proof.worst
    refused = proof.reason is not None
    return Tried(
        place,
        name,
        Result.FAILED if refused else Result.SERVES if serves else Result.READY,
        proof.reason or "",
        what="" if worst is None else worst.what,
        error=None if worst is None else worst.error,
        allowed=None if worst is None else worst.allowed,
        first=proof.seconds,
        again=None if refused else each.test(candidate, call).seconds,
    )
