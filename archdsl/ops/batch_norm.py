"""Batch normalisation."""

from __future__ import annotations

from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._types import Positive
from archdsl.tape import Flow, Part, batch_norm


class BatchNorm(Op):
    """`batch_norm(eps)`: each channel is brought to mean 0 and variance 1 over all tokens of a batch.

    Extra tokens count like patches. In evaluation the running mean and variance (momentum 0.1) take the place
    of the batch's; they are buffers, no parameters.

    Args:
        eps: added to the variance.
    """

    name: ClassVar[str] = "batch_norm"
    source: ClassVar[str] = "torch.nn.BatchNorm2d; Ioffe and Szegedy, arXiv 1502.03167, algorithm 1"
    module: ClassVar[str] = "archdsl.nn.batch_norm:BatchNorm"
    ambient: ClassVar[frozenset[str]] = frozenset({"eps"})

    eps: Positive = 1e-5

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """2 C."""
        return 2 * x.dim

    def norms(self, x: Feature, y: Feature) -> int:
        """2 tokens * C."""
        return 2 * x.tokens * x.dim

    def buffers(self, x: Feature, y: Feature) -> tuple[int, int]:
        """The running mean and variance, and the number of batches."""
        return 2 * x.dim, 1

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The norm of all tokens of the batch."""
        return s.with_x(batch_norm(s.x.flatten(0, 1)).reshape(*s.x.shape))

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width and eps."""
        return {"dim": x.dim, "eps": self.eps}
