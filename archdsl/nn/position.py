"""Position embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archdsl.features import Extra
from archdsl.nn.stream import Stream, StreamModule, put_together


class Position(StreamModule):
    """Adds `weight` (1, T, C), one vector for each token of the sequence, extra tokens included.

    Args:
        dim: C.
        grid: (H, W) or (tokens,) that the weight is for; for another one it is interpolated.
        extras: the extra tokens among them.
    """

    def __init__(self, dim: int, grid: tuple[int, ...], extras: tuple[Extra, ...] = ()) -> None:
        super().__init__()
        self.grid = grid
        self.extras = extras
        tokens = Stream(torch.empty(0), grid, extras).tokens
        self.weight = nn.Parameter(torch.empty(1, tokens, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal with standard deviation 0.02."""
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, s: Stream) -> Stream:
        """The tokens with their positions added."""
        return s.with_x(s.x + self.at(s.grid))

    def at(self, grid: tuple[int, ...]) -> Tensor:
        """The vectors (1, T, C) for the tokens of a grid."""
        if grid == self.grid:
            return self.weight
        patches, extras = Stream(self.weight, self.grid, self.extras).take_apart()
        return put_together(resized(patches, self.grid, grid), extras, grid, self.extras).x


def resized(weight: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Vectors of the places of one grid (1, N, C), interpolated for another: bicubic, corners not aligned.

    In float32 for half precision. A list of tokens is a grid of one row.
    """
    size = (1, *old)[-2:]
    image = weight.float() if weight.dtype in (torch.bfloat16, torch.float16) else weight
    image = image.reshape(1, *size, weight.shape[-1]).permute(0, 3, 1, 2)
    image = F.interpolate(image, size=(1, *new)[-2:], mode="bicubic", align_corners=False)
    return image.permute(0, 2, 3, 1).flatten(1, 2).to(weight.dtype)
