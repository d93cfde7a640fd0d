"""A learned factor for each channel."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._types import Real, describe
from archdsl.tape import Flow, Part, mul, parameter


def _off_or_number(value: object) -> object:
    if value is True:
        raise ValueError(f"expected a number or off, found {describe(value)}")
    return None if value is False else value


class LayerScale(Op):
    """`layer_scale(init)`: y = gamma * x with one learned number for each channel.

    It stands at the end of a residual branch. Without a value from `init` or the arch it is left out.

    Args:
        init: the factors at the start.
        layer_scale: the factors at the start, as the arch has it; `off` for no layer scale.
    """

    name: ClassVar[str] = "layer_scale"
    source: ClassVar[str] = "Touvron et al., arXiv 2103.17239, eq. 4"
    module: ClassVar[str] = "archdsl.nn.layer_scale:LayerScale"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "kept"
    ambient: ClassVar[frozenset[str]] = frozenset({"layer_scale"})
    training_only: ClassVar[frozenset[str]] = frozenset({"init", "layer_scale"})

    init: Annotated[Real | None, BeforeValidator(_off_or_number)] = None
    layer_scale: Annotated[Real | None, BeforeValidator(_off_or_number)] = None

    def resolved(self, x: Feature) -> Self:
        """With the value that counts in `init`."""
        return self.model_copy(update={"init": self._start, "layer_scale": None})

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """C."""
        return x.dim

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Keeps what is scaled."""
        return s.with_x(mul(s.x, parameter(s.x, y.dim)))

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width and value."""
        return {"dim": x.dim, "init": 1.0 if self._start is None else self._start}

    def vanishes(self, x: Feature) -> bool:
        """Where no value is given."""
        return self._start is None

    @property
    def _start(self) -> float | None:
        return self.layer_scale if self.init is None else self.init
