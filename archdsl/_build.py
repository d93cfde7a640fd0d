"""A model in one call: load, compile, and weights where they are given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from archdsl.compiler import Model
    from archdsl.graph.architecture import Architecture


def build(
    source: str | os.PathLike[str] | Architecture,
    arch: str | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    weights: str | os.PathLike[str] | Mapping[str, object] | None = None,
    backend: str = "auto",
    device: torch.device | str | None = None,
    fuse: bool = True,
    **params: object,
) -> Model:
    """A PyTorch model of a spec, with initial weights or those of a checkpoint.

    Args:
        source: path of an `.arch` file, the name of a shipped arch, or an architecture that `load` returned.
        arch: which arch of the file; see `load`.
        overrides: values by path, see `load`.
        weights: a checkpoint, see `load_weights`; everything has to fit.
        backend: the kernel of scans, `auto` for the fastest that serves.
        device: where the weights lie, torch's default device for None; on `meta` nothing is allocated.
        fuse: whether convolution, scan and gate of a mixer are one operator where they can be, and linear
            maps are computed by the fastest kernel. Without, linear maps are of the type `torch.nn.Linear`
            itself, which some tools ask for (`torch.ao.quantization`); with it, of a subclass. Names and
            weights do not depend on it, results only as far as sums are rounded.
        params: parameters of the arch, and `image`, `classes`, `channels`.

    Raises:
        DiagnosticError: for mistakes in the spec or the arguments, and for weights that don't fit.
        ValueError: for a backend that is no kernel's name, and a device that is none.
        TypeError: for an architecture with arguments that only a spec takes, and overrides without paths.
    """
    from archdsl.compiler import compile_model
    from archdsl.compiler.passes import PASSES, UNFUSED
    from archdsl.graph.architecture import Architecture

    if isinstance(source, Architecture):
        if arch is not None or overrides or params:
            raise TypeError("an architecture is complete: give arch, overrides and parameters to `load`")
        architecture = source
    else:
        from archdsl.graph import load

        architecture = load(os.fspath(source), arch, overrides=overrides, **params)
    passes = PASSES if fuse else UNFUSED
    model = compile_model(architecture, backend=backend, device=device, passes=passes, quick=fuse)
    if weights is not None:
        from archdsl.weights import load_weights

        load_weights(model, weights)
    return model
