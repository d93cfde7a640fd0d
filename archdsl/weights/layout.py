"""Checkpoint layouts as data: which key of a checkpoint holds which of our tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Conversion:
    """How tensors of a checkpoint become one of ours, and the way back.

    `to_ours` raises ValueError, IndexError or RuntimeError for shapes that it can't convert, `to_theirs` a
    ValueError.
    """

    to_ours: Callable[[Sequence[Tensor]], Tensor]
    to_theirs: Callable[[Tensor], tuple[Tensor, ...]]


def _same(tensors: Sequence[Tensor]) -> Tensor:
    (tensor,) = tensors
    return tensor


def _halves_swapped(tensor: Tensor) -> Tensor:
    return tensor.roll(tensor.shape[0] // 2, 0)


UNCHANGED = Conversion(_same, lambda tensor: (tensor,))
SWAPPED_HALVES = Conversion(
    lambda tensors: _halves_swapped(_same(tensors)), lambda tensor: (_halves_swapped(tensor),)
)
"""[gate, value] along the rows where ours is [value, gate]."""


def _joined(tensors: Sequence[Tensor], axis: int) -> Tensor:
    if len({t.shape for t in tensors}) != 1:
        raise ValueError("tensors of different sizes")
    return torch.cat(tuple(tensors), axis)


def joined(count: int, axis: int = 0) -> Conversion:
    """So many tensors of equal size, one behind the other along an axis of ours."""
    return Conversion(lambda tensors: _joined(tensors, axis), lambda tensor: tuple(tensor.chunk(count, axis)))


@dataclass(frozen=True, slots=True)
class Piece:
    """Ours is one of several equal pieces of a tensor of the checkpoint, along its first axis.

    Args:
        index: which, counted from 0.
        of: how many there are.
        stacked: every piece has an axis less than the whole: `whole[index]`.
    """

    index: int
    of: int
    stacked: bool = False

    def taken(self, whole: Tensor) -> Tensor:
        """The piece. Raises ValueError where the whole can't be divided so."""
        rows = whole.shape[0] if whole.dim() else 0
        if rows % self.of or not rows or (self.stacked and rows != self.of):
            raise ValueError(f"no {self.of} pieces in a tensor of shape {tuple(whole.shape)}")
        return whole[self.index] if self.stacked else whole.chunk(self.of)[self.index]

    def assembled(self, pieces: Sequence[Tensor]) -> Tensor:
        """The whole of all pieces in order."""
        return torch.stack(tuple(pieces)) if self.stacked else torch.cat(tuple(pieces))


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor, or one for each value of what stands in braces.

    Patterns are keys with `{i}`, a number that is the same on both sides, and in `ours` also `*`, any one
    name. Stages are counted from 0 in `ours`, whatever the spec calls them:
    `stages.0.blocks.{i}.residual.norm.weight`. `{i-1}` in `theirs` is the number before: published code often
    counts a downsample with the stage before it.

    Args:
        theirs: key in the checkpoint, or keys that together make one tensor of ours.
        ours: key in the model.
        conversion: how the tensors differ.
        piece: where ours is only a part of theirs, which.
    """

    theirs: str | tuple[str, ...]
    ours: str
    conversion: Conversion = UNCHANGED
    piece: Piece | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The patterns of `theirs`."""
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs


def weight_and_bias(
    theirs: str | tuple[str, ...], ours: str, conversion: Conversion = UNCHANGED
) -> tuple[Entry, ...]:
    """Weight and bias of a module, or of several that together are one of ours."""
    modules = (theirs,) if isinstance(theirs, str) else theirs
    return tuple(
        Entry(tuple(f"{module}.{name}" for module in modules), f"{ours}.{name}", conversion)
        for name in ("weight", "bias")
    )


def batch_norm(theirs: str, ours: str) -> tuple[Entry, ...]:
    """Weight, bias and statistics of a batch norm."""
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return (
        *weight_and_bias(theirs, ours),
        *(Entry(f"{theirs}.{name}", f"{ours}.{name}") for name in statistics),
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where one tensor of ours stands in a checkpoint.

    Args:
        keys: of the checkpoint.
        entry: how they become ours.
    """

    keys: tuple[str, ...]
    entry: Entry

    def read(self, tensors: Sequence[Tensor]) -> Tensor:
        """Ours of theirs.

        Raises:
            ValueError, IndexError, RuntimeError: for shapes that can't be converted.
        """
        piece = self.entry.piece
        return self.entry.conversion.to_ours([piece.taken(t) for t in tensors] if piece else tensors)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a published implementation names its tensors.

    Args:
        name: as `to_layout` takes it.
        title: for people.
        marks: patterns of `theirs` that are all found in a checkpoint of this layout.
        entries: every tensor.
        absent: patterns of keys of which none is found in a checkpoint of this layout.
        replaceable: patterns of ours that a new task replaces; they may be missing or of another shape.
        ignored: patterns of theirs that hold nothing a model needs.
        extras_first: their position embeddings begin with the rows of the class tokens and then the
            registers', wherever ours have them in the sequence.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    entries: tuple[Entry, ...]
    absent: tuple[str, ...] = ()
    replaceable: tuple[str, ...] = ("head.*", "head.*.*")
    ignored: tuple[str, ...] = ()
    extras_first: bool = False

    def recognises(self, keys: Iterable[str]) -> bool:
        """Whether a checkpoint with these keys is of this layout."""
        listed = list(keys)

        def found(pattern: str) -> bool:
            return any(matches(pattern, key) for key in listed)

        return all(map(found, self.marks)) and not any(map(found, self.absent))

    def locate(self, key: str) -> Place | None:
        """Where a tensor of ours stands in a checkpoint; None where nowhere."""
        for entry in self.entries:
            found = _regex(entry.ours).fullmatch(key)
            if found:
                keys = [_fill(k, found.groupdict()) for k in entry.keys]
                return None if None in keys else Place(tuple(k for k in keys if k is not None), entry)
        return None


def matches(pattern: str, key: str) -> bool:
    """Whether a key is one that the pattern stands for."""
    return _regex(pattern).fullmatch(key) is not None


def numbered(key: str, stages: tuple[str, ...]) -> str:
    """A key of ours with the stage's number in place of its name."""
    if not key.startswith("stages."):
        return key
    first, name, rest = key.split(".", 2)
    return f"{first}.{stages.index(name)}.{rest}"


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    seen: set[str] = set()
    out = []
    for piece in re.split(r"(\{\w+(?:-1)?\}|\*)", pattern):
        if piece == "*":
            out.append(r"[^.]+")
        elif piece.startswith("{"):
            name = piece[1:-1].removesuffix("-1")
            out.append(f"(?P={name})" if name in seen else rf"(?P<{name}>[0-9]+)")
            seen.add(name)
        else:
            out.append(re.escape(piece))
    return re.compile("".join(out))


def _fill(pattern: str, values: dict[str, str]) -> str | None:
    """A key; None where it would need the number before 0."""
    if any(int(values[name]) == 0 for name in re.findall(r"\{(\w+)-1\}", pattern)):
        return None
    return re.sub(r"\{(\w+)(-1)?\}", lambda m: str(int(values[m[1]]) - bool(m[2])), pattern)
