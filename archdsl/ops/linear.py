"""A linear map of every token."""

from __future__ import annotations

from typing import ClassVar, Self

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op
from archdsl.ops._types import Flag, WidthOrSame
from archdsl.ops._widths import resolve_width, with_dim
from archdsl.tape import Flow, Part, linear


class Linear(Op):
    """`linear(out, bias)`: y = W x + b for every token.

    Args:
        out: channels of the result; `same` for as many as come in.
        bias: whether b is there.
    """

    name: ClassVar[str] = "linear"
    source: ClassVar[str] = "torch.nn.Linear"
    module: ClassVar[str] = "torch.nn:Linear"

    out: WidthOrSame = "same"
    bias: Flag = True

    def resolved(self, x: Feature) -> Self:
        """With the output width written out."""
        return self.model_copy(update={"out": resolve_width(self.out, x)})

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input with `out` channels."""
        return with_dim(x, resolve_width(self.out, x))

    def params(self, x: Feature, y: Feature) -> int:
        """in * out + out."""
        return x.dim * y.dim + (y.dim if self.bias else 0)

    def macs(self, x: Feature, y: Feature) -> Macs:
        """tokens * in * out."""
        return Macs(linear=x.tokens * x.dim * y.dim)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The product, and what it keeps."""
        return s.with_x(linear(s.x, y.dim, self.bias))

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """As torch.nn.Linear names them."""
        return {"in_features": x.dim, "out_features": y.dim, "bias": self.bias}
