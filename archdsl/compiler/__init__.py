"""From a checked architecture to a PyTorch module: passes, modules, initial weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archdsl.compiler.build import compile_model
    from archdsl.compiler.feature_maps import FeatureMaps, features_only
    from archdsl.compiler.model import Model

__all__ = ["FeatureMaps", "Model", "compile_model", "features_only"]

_WHERE = {
    "compile_model": "archdsl.compiler.build",
    "FeatureMaps": "archdsl.compiler.feature_maps",
    "features_only": "archdsl.compiler.feature_maps",
    "Model": "archdsl.compiler.model",
}


def __getattr__(name: str) -> object:
    """Imports what needs torch when it is asked for."""
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
