"""What happens to a checked architecture before modules are built: a tuple of passes, run in order."""

from __future__ import annotations

from collections.abc import Callable

from archdsl.compiler.passes.drop_no_ops import drop_no_ops
from archdsl.compiler.passes.fuse_scans import fuse_scans
from archdsl.compiler.passes.ramp_drop_path import ramp_drop_path
from archdsl.graph.architecture import Architecture

__all__ = ["PASSES", "UNFUSED", "Pass", "drop_no_ops", "fuse_scans", "ramp_drop_path", "run_passes"]

Pass = Callable[[Architecture], Architecture]
"""Takes an architecture and returns one that computes the same function."""

UNFUSED: tuple[Pass, ...] = (ramp_drop_path, drop_no_ops)
"""The passes of `build` with `fuse = False`, in order."""

PASSES: tuple[Pass, ...] = (*UNFUSED, fuse_scans)
"""The passes of `build`, in order."""


def run_passes(architecture: Architecture, passes: tuple[Pass, ...] = PASSES) -> Architecture:
    """The architecture after every pass."""
    for step in passes:
        architecture = step(architecture)
    return architecture
