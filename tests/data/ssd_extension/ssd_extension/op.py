"""The operator `ssd`: shape, parameters and cost."""

from __future__ import annotations

from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops import Count, Infer, Macs, Op, ShapeError


class Ssd(Op):
    """`ssd(heads, state)`: a scan whose decay is one number for each head, in its attention-like form.

    h_t = exp(dt_t a) h_{t-1} + dt_t B_t x_t and y_t = C_t h_t + D x_t, with dt, B and C linear in x_t.
    """

    name: ClassVar[str] = "ssd"
    source: ClassVar[str] = "Dao and Gu, arXiv 2405.21060, eq. 1 and section 3.2"
    module: ClassVar[str] = "ssd_extension.module:Ssd"

    heads: Count
    state: Count = 64

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        if x.dim % self.heads:
            raise ShapeError(
                "E303",
                "the heads do not divide the channels",
                label=f"{self.heads} does not divide {x.dim}",
                parameter="heads",
                help="choose a divisor",
            )
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """E (2 N + H) for B, C and dt, and H each for a, D and dt's bias."""
        return x.dim * (2 * self.state + self.heads) + 3 * self.heads

    def macs(self, x: Feature, y: Feature) -> Macs:
        """The projection; C B^T once, T^2 N, and its product with x in every head, T^2 E together."""
        t = x.tokens
        return Macs(
            linear=t * x.dim * (2 * self.state + self.heads),
            attention=t * t * (self.state + x.dim),
        )

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width, heads and state."""
        return {"dim": x.dim, "heads": self.heads, "state": self.state}
