"""The Gaussian error linear unit."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Op
from archdsl.ops._types import word
from archdsl.tape import Flow, Part, unary


def _form(value: object) -> object:
    return "none" if value is None else word(value)


class Gelu(Op):
    """`gelu(approximate)`: y = x * Phi(x), Phi the distribution function of the normal distribution.

    Args:
        approximate: `none` for the exact function, `tanh` for its approximation by one.
    """

    name: ClassVar[str] = "gelu"
    source: ClassVar[str] = "torch.nn.GELU; Hendrycks and Gimpel, arXiv 1606.08415, section 2"
    module: ClassVar[str] = "torch.nn:GELU"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "kept"

    approximate: Annotated[Literal["none", "tanh"], BeforeValidator(_form)] = "none"

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        return x

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Keeps what goes in."""
        return s.with_x(unary(s.x))

    def exponentials(self, x: Feature, y: Feature) -> int:
        """One for each number."""
        return x.tokens * x.dim

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """As torch.nn.GELU names them."""
        return {"approximate": self.approximate}
