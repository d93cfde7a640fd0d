"""Channels divided among branches."""

from __future__ import annotations

from collections.abc import Sequence

from archdsl.nn.branches import Branches
from archdsl.nn.stream import Stream


class Split(Branches):
    """Runs every part on an equal share of the channels, the first on the first, and merges the results."""

    def inputs(self, s: Stream) -> Sequence[Stream]:
        """The shares (B, T, C / parts)."""
        return [s.with_x(x) for x in s.x.chunk(len(self._part_names), dim=-1)]
