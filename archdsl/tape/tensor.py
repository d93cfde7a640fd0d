"""A tensor without numbers, the memory it lies in, and the tape that keeps memory for the backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from archdsl.tape.strides import Numbers, contiguous, is_contiguous, viewed

IMAGES = 2
"""Images of the batch that is traced; it stands for every batch of two or more."""


@dataclass(slots=True, eq=False)
class Memory:
    """What tensors lie in.

    Args:
        size: bytes of a batch of `IMAGES`.
        grows: whether that grows with the batch; else it is the same for all.
        weight: whether it is a parameter's or a buffer's, which are there anyway.
        kept: whether the backward needs it.
    """

    size: int
    grows: bool = True
    weight: bool = False
    kept: bool = False


@dataclass(slots=True, eq=False)
class Tape:
    """What is kept, in order.

    Args:
        first: whether what is traced is the first block of an architecture, where no path is dropped.
    """

    first: bool = False
    kept: list[Memory] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Tensor:
    """Shape, strides and memory of a tensor; images and their windows are its first dimension. Never changed.

    Args:
        shape, strides: as PyTorch tells them.
        memory: what it lies in.
        tape: where functions of it keep what they need.
        gradient: whether a gradient goes through it.
    """

    shape: Numbers
    strides: Numbers
    memory: Memory
    tape: Tape
    gradient: bool = True

    @property
    def is_contiguous(self) -> bool:
        """Whether the last dimension varies fastest and nothing lies between."""
        return is_contiguous(self.shape, self.strides)

    def permute(self, *order: int) -> Tensor:
        """A view with the dimensions in that order."""
        shape, strides = self.shape, self.strides
        return self._view(tuple([shape[d] for d in order]), tuple([strides[d] for d in order]))

    def transpose(self, a: int, b: int) -> Tensor:
        """A view with two dimensions exchanged."""
        order = list(range(len(self.shape)))
        order[a], order[b] = order[b], order[a]
        return self.permute(*order)

    def reshape(self, *shape: int) -> Tensor:
        """A view in another shape, or a copy where none serves; one size may be -1."""
        if -1 in shape:
            rest = prod(size for size in shape if size != -1)
            shape = tuple(prod(self.shape) // rest if size == -1 else size for size in shape)
        strides = viewed(self.shape, self.strides, shape)
        if strides is not None:
            return self._view(shape, strides)
        return fresh(shape, self)

    def contiguous(self) -> Tensor:
        """The same, or a copy whose last dimension varies fastest."""
        return self if self.is_contiguous else fresh(self.shape, self)

    def flatten(self, start: int = 0, end: int = -1) -> Tensor:
        """Dimensions `start` to `end` as one."""
        end %= len(self.shape)
        if start == end:
            return self
        return self.reshape(*self.shape[:start], prod(self.shape[start : end + 1]), *self.shape[end + 1 :])

    def narrow(self, dim: int, length: int) -> Tensor:
        """A view of `length` places along a dimension; where they begin does not matter."""
        dim %= len(self.shape)
        return self._view((*self.shape[:dim], length, *self.shape[dim + 1 :]), self.strides)

    def select(self, dim: int) -> Tensor:
        """A view of one place along a dimension, without it."""
        return self._view(_without(self.shape, dim), _without(self.strides, dim))

    def unsqueeze(self, dim: int) -> Tensor:
        """A view with a dimension of size 1 more."""
        dim %= len(self.shape) + 1
        stride = self.shape[dim] * self.strides[dim] if dim < len(self.shape) else 1
        shape, strides = self.shape, self.strides
        return self._view((*shape[:dim], 1, *shape[dim:]), (*strides[:dim], stride, *strides[dim:]))

    def expand(self, *shape: int) -> Tensor:
        """A view that repeats dimensions of size 1; -1 leaves one as it is."""
        missing = len(shape) - len(self.shape)
        own = ((1,) * missing + self.shape, (0,) * missing + self.strides)
        wide = tuple(a if b == -1 else b for a, b in zip(own[0], shape, strict=True))
        strides = tuple(s if a == b else 0 for a, b, s in zip(own[0], wide, own[1], strict=True))
        return self._view(wide, strides)

    def _view(self, shape: Numbers, strides: Numbers) -> Tensor:
        return Tensor(shape, strides, self.memory, self.tape, self.gradient)


def fresh(
    shape: Sequence[int],
    *operands: Tensor,
    strides: Numbers | None = None,
    item: int = 4,
    gradient: bool | None = None,
    grows: bool | None = None,
) -> Tensor:
    """A tensor in memory of its own.

    Args:
        shape: of it.
        operands: what it is made from: a gradient goes through it, and it grows with the batch, where that
            holds for one of them.
        strides: contiguous ones by default.
        item: bytes of an element.
        gradient, grows: where that is not so.
    """
    shape = tuple(shape)
    if grows is None:
        grows = any(v.memory.grows for v in operands)
    if gradient is None:
        gradient = any(v.gradient for v in operands)
    memory = Memory(prod(shape) * item, grows)
    return Tensor(shape, strides or contiguous(shape), memory, operands[0].tape, gradient)


def keep(*tensors: Tensor) -> None:
    """Keeps the memory of tensors for the backward; a parameter's is there anyway."""
    for v in tensors:
        memory = v.memory
        if not (memory.kept or memory.weight):
            memory.kept = True
            v.tape.kept.append(memory)


def _without(values: Numbers, at: int) -> Numbers:
    return (*values[:at], *values[at + 1 :])
