"""How much memory a process has had."""

from __future__ import annotations

import sys
from pathlib import Path


def most_bytes() -> int:
    """The most memory that this process has had at once.

    Where Linux tells it is taken from there: `getrusage` would also count what the process that started this
    one had.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
