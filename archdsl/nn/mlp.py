"""The two-layer perceptron of transformer blocks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from archdsl.nn.stream import Stream, StreamModule, run


class Mlp(StreamModule):
    """fc2(act(fc1(x))), tokens (B, T, C) to tokens (B, T, C).

    Args:
        dim: C.
        hidden: width between the two linear maps.
        parts: `act`.
    """

    def __init__(self, dim: int, hidden: int, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = parts["act"]
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, s: Stream) -> Stream:
        """Every token by itself, but for what an unusual `act` does."""
        return run(self.fc2, run(self.act, run(self.fc1, s)))
