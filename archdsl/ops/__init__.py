"""The primitives and combinators of the language, found by name: a name is a file of this package.

An outsider adds one through an entry point of the group `archdsl.ops`, named like the operator, that points
at its `Op` subclass.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from archdsl.ops._base import Infer, Macs, Op, PartParameter, ShapeError, unique
from archdsl.ops._memory import INDEX_BYTES, LANES, VALUE_BYTES, Alive, behind, beside, size
from archdsl.ops._types import (
    Count,
    Flag,
    Kernel,
    Natural,
    Orders,
    Positive,
    Rate,
    Ratio,
    Real,
    Width,
    WidthOrSame,
)

__all__ = [
    "INDEX_BYTES",
    "LANES",
    "VALUE_BYTES",
    "Alive",
    "Count",
    "Flag",
    "Infer",
    "Kernel",
    "Macs",
    "Natural",
    "Op",
    "Orders",
    "PartParameter",
    "Positive",
    "Rate",
    "Ratio",
    "Real",
    "ShapeError",
    "Width",
    "WidthOrSame",
    "behind",
    "beside",
    "find",
    "names",
    "size",
    "unique",
]

GROUP = "archdsl.ops"


@lru_cache(maxsize=1)
def _builtin() -> frozenset[str]:
    return frozenset(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))


@lru_cache(maxsize=1)
def _foreign() -> frozenset[str]:
    return frozenset(e.name for e in entry_points(group=GROUP))


def names() -> frozenset[str]:
    """Names of all operators, installed extensions included."""
    return _builtin() | _foreign()


@lru_cache(maxsize=1024)
def find(name: str) -> type[Op] | None:
    """The operator of that name, or None.

    Imports its file and nothing else; extensions are looked up only for names that are not built in.
    """
    if name in _builtin():
        module = import_module(f"{__name__}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Op) and getattr(value, "name", None) == name:
                return value
        raise LookupError(f"{module.__file__} defines no operator `{name}`")
    for entry in entry_points(group=GROUP, name=name):
        loaded = entry.load()
        if isinstance(loaded, type) and issubclass(loaded, Op):
            return loaded
    return None
