"""The memory of the process that evaluates: its limit, and what running out of it looks like."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archdsl.tasks import RunError

_STATUS = Path("/proc/self/status")
_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "bad alloc")


@contextmanager
def limited(memory: int | None) -> Iterator[None]:
    """Lets this process hold so many bytes inside the block; beyond, allocations fail.

    The kernel bounds what is reserved (`RLIMIT_DATA`), users mean what is held: what was reserved before
    without being held is allowed on top. Does nothing where the system has no such limit.

    Raises:
        RunError: of kind `memory`, where the process holds more already.
    """
    if memory is None or not sys.platform.startswith("linux"):
        yield
        return
    import resource

    held, reserved = _sizes()
    if held >= memory:
        raise RunError(
            "memory",
            f"the limit of {memory / 1e6:.0f} MB is too low: the process alone takes {held / 1e6:.0f} MB",
        )
    before = resource.getrlimit(resource.RLIMIT_DATA)
    bound = memory - held + reserved
    if before[1] != resource.RLIM_INFINITY:
        bound = min(bound, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (bound, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def ran_out(error: BaseException) -> bool:
    """Whether an error means that memory ran out, of the process or of a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(sign in text for sign in _SIGNS)


def _sizes() -> tuple[int, int]:
    """Bytes of its own that this process holds, and has reserved."""
    sizes = {"RssAnon": 0, "VmData": 0}
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in sizes:
            sizes[name] = int(value.split()[0]) * 1024
    return sizes["RssAnon"], sizes["VmData"]
