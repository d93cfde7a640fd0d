"""What is installed beside archdsl, and whether it can be imported."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version


class State(StrEnum):
    """What is known of a package."""

    IMPORTS = "imports"
    INSTALLED = "installed"
    MISSING = "not installed"
    BROKEN = "fails at import"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package that archdsl can use.

    Args:
        name: of the distribution.
        module: what is imported.
        use: what archdsl does with it.
        extra: the extra of archdsl that brings it, empty where none does.
        needed: whether archdsl does not work without it.
        tried: whether it is imported, not only looked for; those are that kernels need.
    """

    name: str
    module: str
    use: str
    extra: str = ""
    needed: bool = False
    tried: bool = False


PACKAGES = (
    Wanted("torch", "torch", "everything that computes", needed=True, tried=True),
    Wanted("numba", "numba", "kernels on the CPU", needed=True, tried=True),
    Wanted("triton", "triton", "kernels on GPUs, comes with PyTorch", tried=True),
    Wanted("mamba-ssm", "mamba_ssm", "kernels on GPUs", "mamba-ssm", tried=True),
    Wanted("causal-conv1d", "causal_conv1d", "kernels on GPUs", "mamba-ssm", tried=True),
    Wanted("timm", "timm", "published models beside ours", needed=True),
    Wanted("optuna", "optuna", "searches", needed=True),
    Wanted("ray", "ray", "searches on clusters", "ray"),
    Wanted("scikit-learn", "sklearn", "the task `digits`", "digits"),
    Wanted("psycopg", "psycopg", "studies in PostgreSQL", "postgres"),
)


@dataclass(frozen=True, slots=True)
class Package:
    """What was found of a package.

    Args:
        version: None where it is not known.
        reason: why it can't be imported.
    """

    wanted: Wanted
    state: State
    version: str | None = None
    reason: str = ""


def look_at(wanted: Wanted) -> Package:
    """Looks for a package and, where that is wanted, imports it; whatever it does or prints then."""
    try:
        found = importlib.util.find_spec(wanted.module) is not None
    except (ImportError, ValueError) as error:
        return Package(wanted, State.BROKEN, _version(wanted), _line(error))
    if not found:
        return Package(wanted, State.MISSING)
    if not wanted.tried:
        return Package(wanted, State.INSTALLED, _version(wanted))
    try:
        with hushed():
            module = import_module(wanted.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a package may do anything at its import, SystemExit included
        return Package(wanted, State.BROKEN, _version(wanted), _line(error))
    known = _version(wanted) or getattr(module, "__version__", None)
    return Package(wanted, State.IMPORTS, None if known is None else str(known))


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Warnings off, and what is printed goes to stderr: stdout holds the report alone."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield


def _version(wanted: Wanted) -> str | None:
    try:
        return version(wanted.name)
    except PackageNotFoundError:
        return None


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
