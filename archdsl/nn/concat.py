"""Several tokens as one vector."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from archdsl.nn.stream import Stream, StreamModule, run


class Concat(StreamModule):
    """Streams (B, n, D) to vectors (B, 1, n D'), the first token's channels first.

    Args:
        neck: D and D' of the linear map shared by the tokens; None for none.
        parts: `norm`, over the whole vector, where there is a neck.
    """

    def __init__(self, neck: tuple[int, int] | None, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.neck = nn.Linear(*neck, bias=False) if neck else None
        self.norm = parts.get("norm")

    def forward(self, s: Stream) -> Stream:
        """The vector."""
        x = s.x if self.neck is None else self.neck(s.x)
        vector = Stream(x.flatten(1).unsqueeze(1), ())
        return vector if self.norm is None else run(self.norm, vector)
