"""Checkpoints: published layouts as tables, loading, saving."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archdsl.weights.layouts import LAYOUTS
    from archdsl.weights.load import load_weights
    from archdsl.weights.report import Mismatch, WeightsReport
    from archdsl.weights.save import save_weights, to_layout

__all__ = ["LAYOUTS", "Mismatch", "WeightsReport", "load_weights", "save_weights", "to_layout"]

_WHERE = {
    "LAYOUTS": "archdsl.weights.layouts",
    "load_weights": "archdsl.weights.load",
    "Mismatch": "archdsl.weights.report",
    "WeightsReport": "archdsl.weights.report",
    "save_weights": "archdsl.weights.save",
    "to_layout": "archdsl.weights.save",
}


def __getattr__(name: str) -> object:
    """Imports what needs torch when it is asked for: `archdsl.weights.files` does without."""
    from importlib import import_module

    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
