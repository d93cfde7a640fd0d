"""A stage as a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

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

    Attributes:
        grad_checkpointing: whether the backward computes blocks again, so that the forward keeps no more of
            them than what goes in.
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
        self.grad_checkpointing = False

    def forward(self, s: Stream) -> Stream:
        """What the last block returns, as a whole map."""
        if self.downsample is not None:
            s = run(self.downsample, s)
        if self.within is None:
            return self._through(s)
        inside, undo = self.within.enter(s)
        return self.within.leave(self._through(inside), undo)

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
            inside = self._checkpoint(block, inside)
            if index in taken:
                found[index] = (
                    inside if self.within is None or undo is None else self.within.leave(inside, undo)
                )
        return inside if self.within is None or undo is None else self.within.leave(inside, undo), found

    def _through(self, s: Stream) -> Stream:
        if not self.grad_checkpointing:
            return run(self.blocks, s)
        for block in self.blocks.parts():
            s = self._checkpoint(block, s)
        return s

    def _checkpoint(self, block: nn.Module, s: Stream) -> Stream:
        """A block; what comes out of it has the places of what goes in."""
        if not (self.grad_checkpointing and torch.is_grad_enabled()):
            return run(block, s)
        grid, extras, regions = s.grid, s.extras, s.regions

        def again(x: Tensor) -> Tensor:
            return run(block, Stream(x, grid, extras, regions)).x

        return s.with_x(checkpoint(again, s.x, use_reentrant=False))
