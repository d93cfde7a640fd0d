"""Branches that all receive the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add, mul

import torch
from torch import Tensor, nn

from archdsl.nn.stream import PartsModule, Stream, run


class Branches(PartsModule):
    """Runs every part on the whole input and merges the results.

    Args:
        merge: `multiply`, `add`, `mean` or `concat`.
        parts: the branches by name, in order.
    """

    def __init__(self, merge: str, parts: Mapping[str, nn.Module]) -> None:
        super().__init__(parts)
        self._merge = merge

    def inputs(self, s: Stream) -> Sequence[Stream]:
        """What each branch receives."""
        return [s] * len(self._part_names)

    def forward(self, s: Stream) -> Stream:
        """The merged results; their places are those of the first."""
        results = [run(part, given) for part, given in zip(self.parts(), self.inputs(s), strict=True)]
        return results[0].with_x(merged([r.x for r in results], self._merge))


def merged(branches: Sequence[Tensor], merge: str) -> Tensor:
    """Several (B, T, C) as one (B, T, C'), see `archdsl.ops.branches`."""
    if merge == "concat":
        return torch.cat(list(branches), dim=-1)
    if merge == "multiply":
        return reduce(mul, branches)
    total = reduce(add, branches)
    return total / len(branches) if merge == "mean" else total
