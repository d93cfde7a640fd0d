"""One vector for all patches."""

from __future__ import annotations

from archdsl.nn.stream import Stream, StreamModule


class Pool(StreamModule):
    """Streams (B, T, C) to vectors (B, 1, C).

    Args:
        kind: `mean` or `max`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, s: Stream) -> Stream:
        """The patches' mean or maximum."""
        patches, _ = s.take_apart()
        pooled = patches.amax(1, keepdim=True) if self.kind == "max" else patches.mean(1, keepdim=True)
        return Stream(pooled, ())
