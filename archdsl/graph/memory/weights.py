"""Bytes of what a model keeps: parameters and buffers."""

from __future__ import annotations

from typing import NamedTuple

from archdsl.ops import INDEX_BYTES

DTYPES = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
"""Bytes of a number; `tf32` is kept as float32 and rounded where it is multiplied."""


class Kept(NamedTuple):
    """What modules keep.

    Args:
        params: trainable parameters.
        buffers: numbers beside them in the type of the weights, such as means of a batch norm.
        indices: whole numbers, such as places of tokens; they keep their type.
    """

    params: int
    buffers: int = 0
    indices: int = 0

    def plus(self, other: Kept) -> Kept:
        """Both together."""
        return Kept(self.params + other.params, self.buffers + other.buffers, self.indices + other.indices)

    def size(self, dtype: str = "float32") -> int:
        """Bytes where weights are of a type; see `DTYPES`."""
        return DTYPES[dtype] * (self.params + self.buffers) + INDEX_BYTES * self.indices
