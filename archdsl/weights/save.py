"""Weights written out: in our own files, or under the keys of a published implementation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

from archdsl.compiler.model import Model
from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.weights.files import written
from archdsl.weights.layout import Piece, Place, numbered
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
    found: dict[str, dict[Piece | None, Tensor]] = {}
    homeless: list[str] = []
    for name, tensor in tensors.items():
        place = table.locate(numbered(name, stages))
        ours = extras_first(tensor, places[name].extras) if name in places else tensor
        if place is None or not _put(found, place, ours):
            homeless.append(name)
    out = {key: whole for key, pieces in found.items() if (whole := _whole(pieces)) is not None}
    homeless += [key for key in found if key not in out]
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


def _put(found: dict[str, dict[Piece | None, Tensor]], place: Place, ours: Tensor) -> bool:
    """Adds what a tensor of ours is in the checkpoint, by key and piece; None stands for a whole tensor.

    Returns:
        False where it can't be converted, or another tensor has its place.
    """
    try:
        theirs = place.entry.conversion.to_theirs(ours)
    except ValueError:
        return False
    piece = place.entry.piece
    if len(theirs) != len(place.keys) or any(piece in found.get(key, {}) for key in place.keys):
        return False
    for key, value in zip(place.keys, theirs, strict=True):
        found.setdefault(key, {})[piece] = value
    return True


def _whole(pieces: Mapping[Piece | None, Tensor]) -> Tensor | None:
    """A tensor of the checkpoint; None where pieces of it are missing."""
    if None in pieces:
        return pieces[None]
    by_index = {piece.index: (piece, value) for piece, value in pieces.items() if piece is not None}
    piece = by_index[min(by_index)][0]
    if len(by_index) < piece.of:
        return None
    return piece.assembled([by_index[index][1] for index in range(piece.of)])


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
