"""Some tokens of the sequence, the others left behind."""

from __future__ import annotations

from torch import Tensor

from archdsl.nn.stream import Stream, StreamModule


class Take(StreamModule):
    """The tokens of one kind (B, n, C) in their order, without the others.

    Args:
        what: `registers`, `class_token` or `patches`.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def forward(self, s: Stream) -> Stream:
        """A map, a list of tokens, or a vector where it is one token.

        Copied, so that what keeps some tokens for the backward does not keep all of them.
        """
        patches, extras = s.take_apart()
        if self.what == "patches":
            return Stream(patches.contiguous(), s.grid, (), _patches_of(s.regions, s))
        for extra, tokens in zip(s.extras, extras, strict=True):
            if extra.kind == self.what:
                return Stream(tokens.contiguous(), () if extra.count == 1 else (extra.count,))
        raise ValueError(f"the sequence has no {self.what}")


def _patches_of(regions: Tensor | None, s: Stream) -> Tensor | None:
    """The regions (windows, N) of the patches alone."""
    if regions is None:
        return None
    return Stream(regions.unsqueeze(-1), s.grid, s.extras).take_apart()[0].squeeze(-1)
