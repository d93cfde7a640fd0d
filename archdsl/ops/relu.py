"""The rectifier."""

from __future__ import annotations

from typing import ClassVar, Literal

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.tape import Flow, Part, relu


class Relu(Op):
    """`relu`: y = max(x, 0)."""

    name: ClassVar[str] = "relu"
    source: ClassVar[str] = "torch.nn.ReLU"
    module: ClassVar[str] = "torch.nn:ReLU"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "kept"

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Keeps what comes out."""
        return s.with_x(relu(s.x))
