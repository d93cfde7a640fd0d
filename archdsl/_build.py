"""A model in one call: load, compile, and weights where they are given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from archdsl.compiler import compile_model
from archdsl.graph import load
from archdsl.weights import load_weights

if TYPE_CHECKING:
    import torch

    from archdsl.compiler import Model


def build(
    source: str | Path,
    arch: str | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    weights: str | os.PathLike[str] | Mapping[str, object] | None = None,
    backend: str = "auto",
    device: torch.device | str | None = None,
    **params: object,
) -> Model:
    """The PyTorch module of an architecture.

    Args:
        source: a path of an `.arch` file, or the name of a shipped architecture ("mamba_r_tiny").
        arch: which architecture of the file; without it the one named like the file, else the first.
        overrides: as for `archdsl.load`.
        weights: a checkpoint as for `archdsl.load_weights`; without it weights start by the recipe `init`.
        backend: the kernel of scans, `auto` for the fastest that serves.
        device: where the weights lie; on `meta` nothing is allocated.
        params: values of the arch's parameters, and image (a number or (height, width)), classes, channels.

    Raises:
        DiagnosticError: with everything that is wrong with the spec, or with the weights.
    """
    architecture = load(source, arch, overrides=overrides, **params)
    model = compile_model(architecture, backend=backend, device=device)
    if weights is not None:
        load_weights(model, weights)
    return model
