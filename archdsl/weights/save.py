"""Weights written out: in our own files, or under the keys of a published implementation."""

from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from archdsl.compiler.model import Model
from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.weights.files import written
from archdsl.weights.layout import Piece, numbered
from archdsl.weights.layouts import layout_named
from archdsl.weights.load import DIGEST, GRIDS, KEYS, position_places
from archdsl.weights.positions import extras_first


def to_layout(model: Model, layout: str) -> dict[str, Tensor]:
    """The model's tensors under the keys of a layout (`mamba_r`, `mambaout_timm`, `archdsl`, ...).

    Tensors that need no conversion share their storage with the model.

    Raises:
        ValueError: for an unknown layout.
        DiagnosticError: E503 where the layout has no place for a tensor of the model.
    """
    table = layout_named(layout)
    tensors = model.state_dict()
    if table is None:
        return dict(tensors)
    stages = tuple(model.stages)
    places = position_places(model) if table.extras_first else {}
    out: dict[str, Tensor] = {}
    pieces: dict[str, dict[int, Tensor]] = {}
    cuts: dict[str, Piece] = {}
    homeless: list[str] = []
    for name, tensor in tensors.items():
        place = table.locate(numbered(name, stages))
        if place is None:
            homeless.append(name)
            continue
        ours = extras_first(tensor, places[name].extras) if name in places else tensor
        try:
            theirs = list(zip(place.keys, place.entry.conversion.to_theirs(ours), strict=True))
        except ValueError:
            homeless.append(name)
            continue
        for key, value in theirs:
            if place.entry.piece is None:
                out[key] = value
            else:
                cuts[key] = place.entry.piece
                pieces.setdefault(key, {})[place.entry.piece.index] = value
    for key, found in pieces.items():
        if sorted(found) == list(range(cuts[key].of)):
            out[key] = cuts[key].assembled([found[i] for i in sorted(found)])
        else:
            homeless.append(key)
    if homeless:
        raise DiagnosticError(
            Diagnostic(
                "E503",
                f"the layout {table.title} has no place for {len(homeless)} tensors of this model",
                notes=(f"the first are {', '.join(homeless[:4])}",),
                help="only models of the family can be written in its layout",
            )
        )
    return out


def save_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Writes the model's tensors as safetensors, with the spec, its digest and the versions in the metadata.

    The file appears whole or not at all. Shared weights are written once for each name.

    Raises:
        DiagnosticError: E508 where it can't be written.
    """
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()
    }
    with written(path) as temporary:
        save_file(tensors, temporary, _metadata(model))


def _metadata(model: Model) -> dict[str, str]:
    architecture = model.architecture
    try:
        release = version("archdsl")
    except PackageNotFoundError:
        release = "unknown"
    return {
        "format": "pt",
        "archdsl.version": release,
        "torch.version": str(torch.__version__),
        "archdsl.arch": architecture.name,
        DIGEST: architecture.digest(),
        "archdsl.spec": architecture.to_source(),
        KEYS: json.dumps(list(model.state_dict())),
        GRIDS: json.dumps({name: places.grid for name, places in position_places(model).items()}),
    }
