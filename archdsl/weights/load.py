"""Published and own checkpoints loaded into a model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from archdsl.compiler.model import Model
from archdsl.diagnostics import Diagnostic, DiagnosticError
from archdsl.weights.layout import Entry, Layout, Piece, Place, matches, numbered
from archdsl.weights.layouts import OWN, recognise
from archdsl.weights.positions import Places, in_sequence, resize_positions, square_grid
from archdsl.weights.read import Checkpoint, read_checkpoint
from archdsl.weights.report import Mismatch, WeightsReport, problems

GRIDS = "archdsl.grids"
"""Metadata of our own files: the grid of every position embedding by key, as JSON."""
KEYS = "archdsl.keys"
"""Metadata of our own files: all keys in the order of the model, as JSON."""
DIGEST = "archdsl.digest"
"""Metadata of our own files: the architecture's digest."""
_FEATURE_NORMS = ("stages.*.feature_norm.*", "stages.*.feature_norm.*.*")
"""They belong to the task that takes the maps, in every layout."""
_OWN_REPLACEABLE = ("head.*", "head.*.*", "head.*.*.*", "stem.registers.*", "stem.class_token.*")


def load_weights(
    model: Model, source: str | os.PathLike[str] | Mapping[str, object], *, strict: bool = True
) -> WeightsReport:
    """Writes the weights of a checkpoint into a model: an official one, timm's, or what archdsl saved.

    The layout is recognised by its keys. Wrappers (`state_dict`, `model`, `module.` ...) are taken off.
    Position embeddings of another grid are resized bicubically. Nothing is written unless everything that
    has to fit does.

    Args:
        model: with storage (not on `meta`).
        source: a file (safetensors, or tensors written by `torch.save`), or a mapping from keys to tensors.
        strict: everything has to fit. Otherwise what a new task replaces (the classifier, registers, norms of
            feature maps) may be missing or of another shape: it keeps its values, and the report names it.
            Where the model has no head, that of the checkpoint is left out.

    Returns:
        What was loaded, resized and left out, and which tensors hold infinity or not-a-number.

    Raises:
        DiagnosticError: E501 for a file that can't be read, E502 for weights that are not recognised, E503
            for weights that don't fit, E504 for a file that holds more than tensors. The model is unchanged
            then.
    """
    checkpoint = read_checkpoint(source)
    targets = model.state_dict(keep_vars=True)
    checkpoint = _under_our_names(checkpoint, model, targets)
    layout = recognise(checkpoint.tensors, targets)
    if any(t.is_meta for t in targets.values()):
        raise _refusal(
            "the model has no storage", ("it was built on the meta device",), "build it on a device"
        )
    plan = _Plan(layout, checkpoint, position_places(model), tuple(model.stages), model.head is not None)
    for name, target in targets.items():
        plan.add(name, target)
    report = plan.report()
    if not report.complete:
        _judge(report, layout, plan, strict)
    with torch.no_grad():
        for name, tensor in plan.ready.items():
            targets[name].copy_(tensor)
    return report


@dataclass(slots=True)
class _Plan:
    """What will be written, found tensor by tensor."""

    layout: Layout | None
    checkpoint: Checkpoint
    places: dict[str, Places]
    stages: tuple[str, ...]
    headed: bool
    ready: dict[str, Tensor] = field(default_factory=dict)
    resized: list[tuple[str, tuple[int, int], tuple[int, int]]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: list[Mismatch] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    pieces: dict[str, set[int]] = field(default_factory=dict)
    """Which pieces of a tensor of the checkpoint were taken."""
    shared: dict[int, str] = field(default_factory=dict)
    """The first name of every tensor of the model, by its address."""
    read: dict[tuple[tuple[str, ...], Piece | None], int] = field(default_factory=dict)
    """Which tensor of the model, by its address, has what stands there: a checkpoint has it for one alone."""

    def locate(self, name: str) -> Place | None:
        """Where a tensor of the model stands in the checkpoint."""
        if self.layout is None:
            return Place((name,), Entry(name, name))
        return self.layout.locate(numbered(name, self.stages))

    def add(self, name: str, target: Tensor) -> None:
        """Finds what belongs into one tensor of the model."""
        place = self.locate(name)
        if place is None or not all(key in self.checkpoint.tensors for key in place.keys):
            self.missing.append(name)
            return
        first = self.read.setdefault((place.keys, place.entry.piece), target.data_ptr())
        if first != target.data_ptr():
            self.missing.append(name)
            return
        self._use(place)
        theirs = [self.checkpoint.tensors[key] for key in place.keys]
        pieces = place.entry.piece.of if place.entry.piece is not None else 1
        mismatch = Mismatch(
            name, " + ".join(place.keys), tuple(target.shape), _shape(theirs[0]), pieces=pieces
        )
        reason = next(filter(None, (_unusable(t, target) for t in theirs)), "")
        if reason:
            self.mismatched.append(replace(mismatch, reason=reason))
            return
        try:
            ours = place.read(theirs)
            if self.layout is not None and self.layout.extras_first and name in self.places:
                ours = in_sequence(ours, self.places[name].extras)
        except (ValueError, IndexError, RuntimeError):
            self.mismatched.append(mismatch)
            return
        if ours.shape != target.shape and ours.shape == (1, *target.shape):
            ours = ours[0]
        if name in self.places and ours.shape != target.shape:
            ours = self._resize(name, ours, target)
        if ours.shape != target.shape:
            self.mismatched.append(mismatch)
            return
        ours = ours.to(target.dtype)
        shared = self.shared.setdefault(target.data_ptr(), name) if target.numel() else name
        if shared in self.ready and not _equal(self.ready[shared], ours):
            reason = f"the same tensor as {shared}, for which the checkpoint holds other numbers"
            self.mismatched.append(replace(mismatch, reason=reason))
            return
        self.ready[name] = ours
        if not ours.isfinite().all():
            self.not_finite.append(name)

    def _use(self, place: Place) -> None:
        """Notes what was taken of the checkpoint. One of several pieces is used with the last."""
        piece = place.entry.piece
        for key in place.keys:
            taken = self.pieces.setdefault(key, set())
            if piece is not None:
                taken.add(piece.index)
            if piece is None or len(taken) == piece.of:
                self.used.add(key)

    def _resize(self, name: str, ours: Tensor, target: Tensor) -> Tensor:
        """A position embedding for the grid of the model, unchanged where that can't be told."""
        if ours.dim() != target.dim() or (*ours.shape[:-2], ours.shape[-1]) != (
            *target.shape[:-2],
            target.shape[-1],
        ):
            return ours
        new = self.places[name]
        patches = ours.shape[-2] - sum(extra.count for extra in new.extras)
        old = _saved_grid(self.checkpoint.metadata, name) or square_grid(patches)
        if old is None or old[0] * old[1] != patches:
            return ours
        self.resized.append((name, old, new.grid))
        return resize_positions(ours, old, new)

    def report(self) -> WeightsReport:
        """What was found."""
        ignored = self.layout.ignored if self.layout else ()
        unexpected = [
            key
            for key in self.checkpoint.tensors
            if key not in self.used and not any(matches(pattern, key) for pattern in ignored)
        ]
        return WeightsReport(
            layout=self.layout.name if self.layout else OWN,
            title=self.layout.title if self.layout else "archdsl",
            loaded=tuple(self.ready),
            resized=tuple(self.resized),
            missing=tuple(self.missing),
            unexpected=tuple(unexpected),
            mismatched=tuple(self.mismatched),
            not_finite=tuple(self.not_finite),
        )

    def replaceable(self, name: str) -> bool:
        """Whether a tensor of the model may be left as it is."""
        return any(matches(pattern, numbered(name, self.stages)) for pattern in self._replaceable)

    def superfluous(self, key: str) -> bool:
        """Whether a key of the checkpoint holds what may be replaced."""
        names = [key]
        if self.layout is not None:
            names = [e.ours for e in self.layout.entries if any(matches(k, key) for k in e.keys)]
        if not self.headed and any(name.startswith("head.") for name in names):
            return True
        return any(matches(pattern, name) for pattern in self._replaceable for name in names)

    @property
    def _replaceable(self) -> tuple[str, ...]:
        return (*(self.layout.replaceable if self.layout else _OWN_REPLACEABLE), *_FEATURE_NORMS)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """Of a tensor of a checkpoint; nested ones have none."""
    return () if tensor.is_nested else tuple(tensor.shape)


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same numbers; what is no number is the same as itself."""
    b = b.to(a.device)
    return bool(((a == b) | (a.isnan() & b.isnan())).all())


def _unusable(theirs: Tensor, target: Tensor) -> str:
    """Why no tensor of ours can be made of one of a checkpoint, whatever its shape; '' where it can."""
    if theirs.is_meta:
        return "the checkpoint's tensor has no storage"
    if theirs.is_nested:
        return "the checkpoint's tensor is nested"
    if theirs.is_quantized:
        return "the checkpoint's tensor is quantized"
    if theirs.is_complex():
        return "the checkpoint's tensor is complex"
    if theirs.layout is not torch.strided:
        return "the checkpoint's tensor is sparse"
    if theirs.is_floating_point() != target.is_floating_point():
        return f"the checkpoint holds {theirs.dtype}, the model {target.dtype}"
    return ""


def _judge(report: WeightsReport, layout: Layout | None, plan: _Plan, strict: bool) -> None:
    """Raises where something that has to fit does not."""
    names = [*report.missing, *(m.name for m in report.mismatched)]
    tolerable = all(map(plan.replaceable, names)) and all(map(plan.superfluous, report.unexpected))
    if tolerable and not strict:
        return
    family = layout.title if layout else "archdsl"
    if tolerable:
        step = "in Python, `load_weights(..., strict=False)` keeps the model's own values there"
    else:
        step = "build the architecture that the weights were trained for, then change it"
    notes = tuple(line.strip() for line in problems(report))
    raise _refusal(f"these weights ({family}) don't fit the model", notes, step)


def position_places(model: Model) -> dict[str, Places]:
    """What the rows of every position embedding stand for, by its key in the state dict."""
    names = {id(p): name for name, p in model.named_parameters()}
    found: dict[str, Places] = {}
    for top in model.placed.values():
        for placed in top.walk():
            x = placed.node.input
            if placed.node.op.name == "position" and x.is_map:
                for parameter in placed.module.parameters():
                    if id(parameter) not in names:  # somebody put another module in its place
                        continue
                    found[names[id(parameter)]] = Places((x.grid[0], x.grid[1]), x.extras)
    return found


def _under_our_names(checkpoint: Checkpoint, model: Model, targets: Mapping[str, Tensor]) -> Checkpoint:
    """One of our own files with the names of the model: the same function may be written in another way.

    Where digests are equal, the tensors are the same in the same order.
    """
    try:
        keys = json.loads(checkpoint.metadata[KEYS])
        old = json.loads(checkpoint.metadata[GRIDS])
        equal = checkpoint.metadata[DIGEST] == model.architecture.digest()
        renamed = dict(zip(keys, targets, strict=True))
        if not equal or renamed.keys() != checkpoint.tensors.keys():
            return checkpoint
        grids = {renamed[key]: grid for key, grid in old.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return checkpoint
    tensors = {renamed[key]: tensor for key, tensor in checkpoint.tensors.items()}
    return Checkpoint(tensors, checkpoint.metadata | {GRIDS: json.dumps(grids)})


def _saved_grid(metadata: Mapping[str, str], name: str) -> tuple[int, int] | None:
    """The grid that one of our own files names for a position embedding."""
    try:
        h, w = json.loads(metadata[GRIDS])[name]
    except (KeyError, ValueError, TypeError):
        return None
    return (h, w) if isinstance(h, int) and isinstance(w, int) and h > 0 and w > 0 else None


def _refusal(message: str, notes: tuple[str, ...], help: str) -> DiagnosticError:
    return DiagnosticError(Diagnostic("E503", message, notes=notes, help=help))
