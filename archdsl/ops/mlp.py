"""The two-layer perceptron of transformer blocks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import ClassVar, Self

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op, PartParameter, ShapeError
from archdsl.ops._memory import Alive, size
from archdsl.ops._types import Ratio
from archdsl.ops._widths import resolve_width, with_dim
from archdsl.tape import Flow, Part, linear


class Mlp(Op):
    """`mlp(ratio, act)`: fc2(act(fc1(x))) for every token, with biases; C to floor(ratio C) and back to C.

    Args:
        ratio: width between the two linear maps, in widths of the input.
        act: what stands between them.
    """

    name: ClassVar[str] = "mlp"
    source: ClassVar[str] = (
        "Vaswani et al., arXiv 1706.03762, eq. 2; Dosovitskiy et al., arXiv 2010.11929, eq. 3"
    )
    module: ClassVar[str] = "archdsl.nn.mlp:Mlp"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("act", default="gelu"),)

    ratio: Ratio = Fraction(4)

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        (act,) = parts
        hidden = with_dim(x, resolve_width(self._hidden(x), x, "ratio"))
        y = act(hidden)
        if y != hidden:
            raise ShapeError(
                "E307",
                "the activation of an mlp changes the shape",
                label=f"receives {hidden}, returns {y}",
                parameter="act",
                help="use an activation such as gelu",
            )
        return x

    def canonical(self, x: Feature) -> Self:
        """With the ratio that gives the same width without being floored."""
        return self.model_copy(update={"ratio": Fraction(self._hidden(x), x.dim)})

    def params(self, x: Feature, y: Feature) -> int:
        """2 C H + H + C for H = floor(ratio C)."""
        hidden = self._hidden(x)
        return 2 * x.dim * hidden + hidden + x.dim

    def macs(self, x: Feature, y: Feature) -> Macs:
        """tokens * 2 C H."""
        return Macs(linear=2 * x.tokens * x.dim * self._hidden(x))

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """What fc1 makes, beside what `act` makes of it; then that and the output."""
        hidden, (act,), out = size(with_dim(x, self._hidden(x))), parts, size(y)
        return Alive(max(hidden + act.peak, (act.result or hidden) + out), out)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Both products, and what stands between."""
        inside = parts[0](s.with_x(linear(s.x, self._hidden(y))))
        return inside.with_x(linear(inside.x, y.dim))

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The two widths."""
        return {"dim": x.dim, "hidden": self._hidden(x)}

    def part_names(self, written: tuple[str, ...]) -> tuple[str, ...]:
        """`act`."""
        return tuple("act" for _ in written)

    def _hidden(self, x: Feature) -> int:
        return floor(self.ratio * x.dim)
