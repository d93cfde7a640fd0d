"""Modules one behind the other."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from archdsl.nn.stream import Stream, StreamModule, run


class Chain(StreamModule):
    """Runs its parts in order; each is an attribute under its own name.

    Args:
        parts: the modules by name, in order.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, s: Stream) -> Stream:
        """Every part behind the one before it."""
        for part in self.children():
            s = run(part, s)
        return s
