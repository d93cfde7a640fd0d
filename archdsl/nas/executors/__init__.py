"""Who carries jobs out: processes on this machine, or Ray."""

from __future__ import annotations

from archdsl.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from archdsl.nas.board import Executor

NAMES = ("local", "ray")


def find(name: str) -> Executor:
    """The executor of that name; only its own modules are imported.

    Raises:
        DiagnosticError: E414 for another name, E506 where Ray is wanted and not installed.
    """
    match name:
        case "local":
            from archdsl.nas.executors.local import LocalExecutor

            return LocalExecutor()
        case "ray":
            from archdsl.nas.executors.ray import RayExecutor

            return RayExecutor()
    raise DiagnosticError(
        Diagnostic(
            "E414",
            f"there is no executor `{name}`",
            notes=(f"expected one of: {', '.join(NAMES)}",),
            help=did_you_mean(name, NAMES, "write `--executor local` or `--executor ray`"),
        )
    )
