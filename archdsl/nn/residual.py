"""A branch added to its input."""

from __future__ import annotations

from archdsl.nn.chain import Chain
from archdsl.nn.stream import Stream


class Residual(Chain):
    """x + parts(x)."""

    def forward(self, s: Stream) -> Stream:
        """The input with the branch added."""
        return s.with_x(s.x + super().forward(s).x)
