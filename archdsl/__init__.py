"""A language for vision backbones that mix scans, gated convolutions and attention, and its compiler.

    >>> import archdsl
    >>> archdsl.load("mamba_r_tiny").stages[0].feature.dim
    192

Names are imported when they are first used: importing this package imports neither torch nor anything else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archdsl._build import build
    from archdsl.compiler import Model, features_only
    from archdsl.graph import Architecture, check, load
    from archdsl.nas.search import search
    from archdsl.weights import WeightsReport, load_weights, save_weights

__version__ = "0.1.0"

_WHERE = {
    "Architecture": "archdsl.graph",
    "Model": "archdsl.compiler",
    "WeightsReport": "archdsl.weights",
    "build": "archdsl._build",
    "check": "archdsl.graph",
    "features_only": "archdsl.compiler",
    "load": "archdsl.graph",
    "load_weights": "archdsl.weights",
    "save_weights": "archdsl.weights",
    "search": "archdsl.nas.search",
}

__all__ = [
    "Architecture",
    "Model",
    "WeightsReport",
    "__version__",
    "build",
    "check",
    "features_only",
    "load",
    "load_weights",
    "save_weights",
    "search",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
