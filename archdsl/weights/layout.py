"""Checkpoint layouts as data: which key of a checkpoint holds which of our tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a tensor of a checkpoint differs from ours, both ways."""

    to_ours: Callable[[Tensor], Tensor]
    to_theirs: Callable[[Tensor], Tensor]


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _swapped(tensor: Tensor) -> Tensor:
    return tensor.roll(tensor.shape[0] // 2, 0)


UNCHANGED = Conversion(_same, _same)
SWAPPED_HALVES = Conversion(_swapped, _swapped)
"""[gate, value] along the rows where ours is [value, gate]."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor, or one for each value of what stands in braces.

    Patterns are keys with `{i}`, a number that is the same on both sides, and in `ours` also `*`, any one
    name. Stages are counted from 0 in `ours`, whatever the spec calls them:
    `stages.0.blocks.{i}.residual.norm.weight`.

    Args:
        theirs: key in the checkpoint.
        ours: key in the model.
        conversion: how the tensors differ.
    """

    theirs: str
    ours: str
    conversion: Conversion = UNCHANGED


@dataclass(frozen=True, slots=True)
class Layout:
    """How a published implementation names its tensors.

    Args:
        name: as `to_layout` takes it.
        title: for people.
        marks: patterns of `theirs` that are all found in a checkpoint of this layout.
        entries: every tensor.
        replaceable: patterns of ours that a new task replaces; they may be missing or of another shape.
        ignored: patterns of theirs that hold nothing a model needs.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    entries: tuple[Entry, ...]
    replaceable: tuple[str, ...] = ("head.*", "head.*.*")
    ignored: tuple[str, ...] = ()

    def recognises(self, keys: Iterable[str]) -> bool:
        """Whether a checkpoint with these keys is of this layout."""
        listed = list(keys)
        return all(any(matches(mark, key) for key in listed) for mark in self.marks)

    def locate(self, key: str) -> tuple[str, Conversion] | None:
        """Where a tensor of ours stands in a checkpoint, and how it is converted; None where nowhere."""
        for entry in self.entries:
            found = _regex(entry.ours).fullmatch(key)
            if found:
                return _fill(entry.theirs, found.groupdict()), entry.conversion
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
    for piece in re.split(r"(\{\w+\}|\*)", pattern):
        if piece == "*":
            out.append(r"[^.]+")
        elif piece.startswith("{"):
            name = piece[1:-1]
            out.append(f"(?P={name})" if name in seen else rf"(?P<{name}>\d+)")
            seen.add(name)
        else:
            out.append(re.escape(piece))
    return re.compile("".join(out))


def _fill(pattern: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda m: values[m.group(1)], pattern)
