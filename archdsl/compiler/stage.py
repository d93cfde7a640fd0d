"""A stage as a module."""

from __future__ import annotations

from torch import nn

from archdsl.nn.chain import Chain
from archdsl.nn.stream import Stream, StreamModule, run
from archdsl.nn.windowed import Windows


class StageModule(StreamModule):
    """A change of map or width, then the blocks, all of them inside windows where the stage says so.

    Args:
        blocks: the blocks in order, found as `blocks.0`, `blocks.1`, ...
        downsample: what stands before them, or None.
        within: how the map is cut before the first block and put together behind the last, or None.
        feature_norm: what a map taken here goes through, or None; `forward` does not run it.
    """

    def __init__(
        self,
        blocks: list[nn.Module],
        downsample: nn.Module | None = None,
        within: Windows | None = None,
        feature_norm: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = Chain({str(i): block for i, block in enumerate(blocks)})
        self.within = within
        self.feature_norm = feature_norm

    def forward(self, s: Stream) -> Stream:
        """What the last block returns, as a whole map."""
        if self.downsample is not None:
            s = run(self.downsample, s)
        if self.within is None:
            return run(self.blocks, s)
        inside, undo = self.within.enter(s)
        return self.within.leave(run(self.blocks, inside), undo)

    def between(
        self, s: Stream, taken: frozenset[int], last: int | None = None
    ) -> tuple[Stream, dict[int, Stream]]:
        """What the last block returns, and what every block in `taken` does, as whole maps.

        Args:
            s: what enters the stage.
            taken: indices of blocks.
            last: the last block that is run; None for all.
        """
        if self.downsample is not None:
            s = run(self.downsample, s)
        inside, undo = (s, None) if self.within is None else self.within.enter(s)
        found: dict[int, Stream] = {}
        for index, block in enumerate(self.blocks.children()):
            if last is not None and index > last:
                break
            inside = run(block, inside)
            if index in taken:
                found[index] = (
                    inside if self.within is None or undo is None else self.within.leave(inside, undo)
                )
        return inside if self.within is None or undo is None else self.within.leave(inside, undo), found
