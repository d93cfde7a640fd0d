"""Modules one behind the other."""

from __future__ import annotations

from archdsl.nn.stream import PartsModule, Stream, run


class Chain(PartsModule):
    """Runs its parts in order."""

    def forward(self, s: Stream) -> Stream:
        """Every part behind the one before it."""
        for part in self.parts():
            s = run(part, s)
        return s
