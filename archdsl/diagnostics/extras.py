"""Optional dependencies, asked for where they are needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from archdsl.diagnostics.diagnostic import Diagnostic, DiagnosticError


def need(module: str, extra: str) -> ModuleType:
    """Imports a module of an optional dependency.

    Args:
        module: its name, `sklearn.datasets`.
        extra: the extra of archdsl that brings it, `digits`.

    Raises:
        DiagnosticError: E506 where it is not installed, with the command that installs it.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise DiagnosticError(
            Diagnostic(
                "E506",
                f"`{package}` is not installed",
                label="an optional part of archdsl needs it",
                help=f"pip install 'archdsl[{extra}]'",
            )
        ) from None
