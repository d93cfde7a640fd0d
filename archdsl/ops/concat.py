"""Several tokens as one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op, PartParameter, ShapeError
from archdsl.ops._memory import Alive, behind, size
from archdsl.ops._places import need_division
from archdsl.ops._types import Count
from archdsl.ops._widths import resolve_width
from archdsl.tape import Flow, Part, linear


class Concat(Op):
    """`concat(reduce, norm)`: the channels of n tokens (n, D) behind each other, first token first.

    With `reduce` over 1 one linear map without bias (`neck`), shared by the tokens, makes D / reduce channels
    of each before, and `norm` works on the whole vector after.

    Args:
        reduce: by how much each token is narrowed first.
        norm: the normalisation of the vector, used where `reduce` is over 1.
    """

    name: ClassVar[str] = "concat"
    source: ClassVar[str] = "torch.nn.Flatten; Mamba-R, arXiv 2405.14858, the head over its registers"
    module: ClassVar[str] = "archdsl.nn.concat:Concat"
    parts: ClassVar[tuple[PartParameter, ...]] = (PartParameter("norm", default="rms_norm"),)

    reduce: Count = 1

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """A vector of n D / reduce channels."""
        (norm,) = parts
        if x.extras:
            raise ShapeError(
                "E304",
                "a concatenation needs tokens of one kind",
                label=f"receives {x}",
                help="put `take(registers)`, `take(class_token)` or `take(patches)` before it",
            )
        each = need_division(
            x.dim,
            self.reduce,
            "the tokens cannot be narrowed",
            parameter="reduce",
            help="use a divisor of the width",
        )
        vector = Feature(resolve_width(x.patches * each, x, "reduce"), (), (), x.windows)
        if self.reduce == 1:
            return vector
        y = norm(vector)
        if y != vector:
            raise ShapeError(
                "E307",
                "the norm of a concatenation changes the shape",
                label=f"receives {vector}, returns {y}",
                parameter="norm",
                help="use a norm such as rms_norm",
            )
        return y

    def transparent(self, x: Feature, parts: int) -> bool:
        """Of a vector."""
        return self.reduce == 1 and not x.grid

    def params(self, x: Feature, y: Feature) -> int:
        """D D / reduce where it is over 1."""
        return x.dim * (x.dim // self.reduce) if self.reduce > 1 else 0

    def macs(self, x: Feature, y: Feature) -> Macs:
        """n D D / reduce where it is over 1."""
        return Macs(linear=x.patches * self.params(x, y))

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """What the linear map makes, then the norm of it; without one a view."""
        if self.reduce == 1:
            return Alive(0, 0)
        vector, norm = size(y), behind(parts)
        return Alive(vector + norm.peak, norm.result or vector)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The linear map, the vector, its norm."""
        x = s.x if self.reduce == 1 else linear(s.x, s.x.shape[2] // self.reduce, bias=False)
        vector = Flow(x.flatten(1).unsqueeze(1), ())
        return parts[0](vector) if parts else vector

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Widths of the linear map, None for none."""
        return {"neck": (x.dim, x.dim // self.reduce) if self.reduce > 1 else None}

    def part_names(self, written: tuple[str, ...]) -> tuple[str, ...]:
        """`norm`."""
        return tuple("norm" for _ in written)
