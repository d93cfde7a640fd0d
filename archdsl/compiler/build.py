"""From a checked architecture to a model."""

from __future__ import annotations

import torch

from archdsl.compiler.init import initialise
from archdsl.compiler.model import Model
from archdsl.compiler.passes import PASSES, Pass
from archdsl.graph.architecture import Architecture


def compile_model(
    architecture: Architecture,
    *,
    backend: str = "auto",
    device: torch.device | str | None = None,
    passes: tuple[Pass, ...] = PASSES,
) -> Model:
    """The model of an architecture, with initial weights.

    Args:
        architecture: checked.
        backend: the kernel of scans, `auto` for the fastest that serves.
        device: where its weights lie, torch's default device for None; on `meta` nothing is allocated or
            drawn.
        passes: what happens to the architecture before modules are built.
    """
    with torch.device(torch.get_default_device() if device is None else device):
        model = Model(architecture, backend=backend, passes=passes)
    if not any(p.is_meta for p in model.parameters()):
        initialise(model.placed, architecture.init)
    return model
