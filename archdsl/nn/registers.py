"""Learned tokens put into the sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archdsl.features import Extra
from archdsl.nn.stream import Stream, StreamModule, put_together


class Registers(StreamModule):
    """Adds tokens `weight` (1, n, C), with `position` (1, n, C) added to them where they have one.

    Args:
        dim: C.
        n: how many.
        at: where they stand, as in `Extra`.
        position: `learned` or None.
        kind: what they are, as in `Extra`.
    """

    def __init__(
        self, dim: int, n: int, at: str = "even", position: str | None = None, kind: str = "registers"
    ) -> None:
        super().__init__()
        self.extra = Extra(kind, n, at)
        self.weight = nn.Parameter(torch.empty(1, n, dim))
        self.position = nn.Parameter(torch.empty(1, n, dim)) if position else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal with standard deviation 0.02."""
        for table in self.parameters(recurse=False):
            nn.init.trunc_normal_(table, std=0.02)

    def forward(self, s: Stream) -> Stream:
        """The stream with the tokens in their slots; other extra tokens keep theirs."""
        patches, extras = s.take_apart()
        tokens = self.weight if self.position is None else self.weight + self.position
        tokens = tokens.expand(patches.shape[0], -1, -1)
        out = put_together(patches, (*extras, tokens), s.grid, (*s.extras, self.extra))
        return out if s.regions is None else out._replace(regions=self._with_all(s, s.regions))

    def _with_all(self, s: Stream, regions: Tensor) -> Tensor:
        """The regions (windows, T) with that of the tokens in their slots: they see and are seen by all."""
        patches, extras = Stream(regions.unsqueeze(-1), s.grid, s.extras).take_apart()
        own = regions.new_full((len(regions), self.extra.count, 1), -1)
        return put_together(patches, (*extras, own), s.grid, (*s.extras, self.extra)).x.squeeze(-1)
