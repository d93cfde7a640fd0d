"""Proving a kernel: what its numbers are off by, and how the test is kept away from the caller's torch.

A kernel is compared with its operator's reference in float64 on the CPU. A difference counts relative to the
expected number and the root mean square of its tensor together, so that small numbers count too.
Not-a-number has to stand exactly where the reference has it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 4e-3,
    torch.bfloat16: 2e-2,
}
"""Largest relative difference that a kernel is allowed, by the type of its sequence: a few roundings of the
low types, some hundred of float32. A product that was rounded to TF32 on its way is refused."""

STACK_BYTES = 64 * 2**20
"""Of the thread of a test: compilers recurse deeply, and threads of some systems have half a megabyte."""


class Measured(NamedTuple):
    """One comparison.

    Args:
        what: which result, `y` or `the gradient of A`.
        error: the largest relative difference; infinite where finite and not-a-number are mixed up.
        allowed: the largest that passes.
    """

    what: str
    error: float
    allowed: float

    @property
    def share(self) -> float:
        """The error as a share of what is allowed."""
        return self.error / self.allowed

    @property
    def text(self) -> str:
        """The difference in words."""
        if self.error == float("inf"):
            return f"{self.what} is not finite, or finite, where the reference is otherwise"
        return f"{self.what} is off by {self.error:.2g}, {self.allowed:.2g} is allowed"


class WrongError(Exception):
    """What a kernel did that none may do, in words; a difference in numbers is a `Measured`."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the test of a kernel showed.

    Attributes:
        reason: why the kernel is refused, None where it proved itself.
        worst: the comparison with the largest error, as a share of what is allowed.
        seconds: of the test, imports and compilation included.
        lasting: whether another test would show the same; one that ran out of memory is made again.
    """

    reason: str | None
    worst: Measured | None
    seconds: float
    lasting: bool = True


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest of |found - expected| / (|expected| + root mean square of expected)."""
    found, expected = found.detach().to("cpu", torch.float64), expected.to("cpu", torch.float64)
    if expected.numel() == 0:
        return 0.0
    finite = expected.isfinite()
    if not finite.all():
        if not torch.equal(found.isnan(), expected.isnan()):
            return float("inf")
        found, expected = found[finite], expected[finite]
    square = expected.square().mean() if expected.numel() else expected.new_ones(())
    scale = expected.abs() + (square.sqrt() if square > 0 else 1.0)
    worst = float(((found - expected).abs() / scale).max()) if expected.numel() else 0.0
    return worst if worst == worst else float("inf")  # noqa: PLR0124 not-a-number differs from itself


def tested(test: Callable[[], Iterable[Measured]]) -> Proof:
    """Runs a test to its end in a thread of its own.

    Whatever the caller has switched on for its thread (autocast, inference mode, counters of operations,
    default devices, tracing) is off in a new one, and nothing of the test is seen by it.

    Args:
        test: gives its comparisons; may raise anything.
    """
    done: list[Proof] = []
    context = _device()

    def run() -> None:
        with torch.no_grad(), context:
            done.append(_run(test))

    _in_thread(run)
    return done[0] if done else Proof("its test was ended", None, 0.0, lasting=False)


def _device() -> AbstractContextManager[object]:
    """The caller's CUDA device, for another thread."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return nullcontext()
    return torch.cuda.device(torch.cuda.current_device())


def _in_thread(run: Callable[[], None]) -> None:
    try:
        usual = threading.stack_size(STACK_BYTES)
    except (ValueError, RuntimeError):
        usual = None
    thread = threading.Thread(target=run, name="archdsl self-test", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter ends, or the system gives no more threads
        run()
        return
    finally:
        if usual is not None:
            threading.stack_size(usual)
    thread.join()


def _run(test: Callable[[], Iterable[Measured]]) -> Proof:
    start = time.perf_counter()
    worst: Measured | None = None
    reason: str | None = None
    lasting = True
    try:
        for measured in test():
            if worst is None or measured.share > worst.share:
                worst = measured
        if worst is None:
            reason = "no test fits it"
        elif worst.share > 1:
            reason = worst.text
    except WrongError as error:
        reason = str(error)
    except BaseException as error:  # a package may do anything, SystemExit at its import included
        reason = told(error)
        lasting = not isinstance(error, MemoryError | torch.OutOfMemoryError)
    return Proof(reason, worst, time.perf_counter() - start, lasting)


def told(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
