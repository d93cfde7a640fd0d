"""Stochastic depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._memory import Alive
from archdsl.ops._types import Rate
from archdsl.tape import Flow, Part, mul, zeros


class DropPath(Op):
    """`drop_path(rate)`: in training, the input times 1 / (1 - rate), or 0 with probability `rate`.

    Drawn for each image (for each window, inside windows). It stands at the end of a residual branch.

    Args:
        rate: the same wherever it stands; `none` for the rate of the arch.
        drop_path: the rate of the arch. It grows linearly over the blocks, from 0 at the first.
    """

    name: ClassVar[str] = "drop_path"
    source: ClassVar[str] = (
        "Huang et al., arXiv 1603.09382, eq. 4; scaled in training as in timm.layers.DropPath"
    )
    module: ClassVar[str] = "archdsl.nn.drop_path:DropPath"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "kept"
    ambient: ClassVar[frozenset[str]] = frozenset({"drop_path"})
    training_only: ClassVar[frozenset[str]] = frozenset({"rate", "drop_path"})

    rate: Rate | None = None
    drop_path: Rate = 0.0

    @property
    def probability(self) -> float:
        """The rate that counts."""
        return self.drop_path if self.rate is None else self.rate

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x

    def canonical(self, x: Feature) -> Self:
        """Without the rate of the arch where another one is given."""
        return self if self.rate is None else self.model_copy(update={"drop_path": 0.0})

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """Outside training it returns what it receives."""
        return Alive(0, 0)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Keeps a number for each image, or window; nothing in the first block, whose rate is 0."""
        x = s.x
        if self.probability == 0 or (x.tape.first and self.rate is None):
            return s
        return s.with_x(mul(x, zeros(x, x.shape[0], *(1,) * (len(x.shape) - 1), grows=True)))

    def moved(self, x: Feature, y: Feature, parts: Sequence[Feature]) -> int:
        """Outside training nothing."""
        return 0

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The probability."""
        return {"drop_prob": self.probability}

    def vanishes(self, x: Feature) -> bool:
        """Where nothing is dropped."""
        return self.probability == 0
