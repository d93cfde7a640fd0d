"""Some tokens of the sequence, the others left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from archdsl.features import Feature, segments
from archdsl.ops._base import Infer, Op
from archdsl.ops._memory import Alive, apart, size
from archdsl.ops._places import need_extra, need_tokens
from archdsl.ops._types import word
from archdsl.tape import Flow, Part, zeros

_WRITE = {"registers": "registers(4)", "class_token": "class_token"}


class Take(Op):
    """`take(what)`: the registers, the class token or the patches of the sequence, in their order.

    One token becomes a vector, several a list of tokens, patches the map without its extra tokens.

    Args:
        what: `registers`, `class_token` or `patches`.
    """

    name: ClassVar[str] = "take"
    source: ClassVar[str] = "torch.Tensor.index_select along the tokens"
    module: ClassVar[str] = "archdsl.nn.take:Take"

    what: Annotated[Literal["registers", "class_token", "patches"], BeforeValidator(word)]

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The tokens taken."""
        if self.what == "patches":
            need_tokens(x, "taking the patches")
            return replace(x, extras=())
        count = need_extra(x, self.what, _WRITE[self.what], "what")
        return Feature(x.dim, () if count == 1 else (count,), (), x.windows)

    def transparent(self, x: Feature, parts: int) -> bool:
        """The patches where there is nothing else."""
        return self.what == "patches" and not x.extras

    def alive(self, x: Feature, y: Feature, parts: Sequence[Alive]) -> Alive:
        """A copy of the tokens; of one image a view of those that stand in one run."""
        runs = [segment.extra for segment in segments(x.patches, x.extras)]
        kinds = [-1] if self.what == "patches" else [i for i, e in enumerate(x.extras) if e.kind == self.what]
        apart_already = any(runs.count(kind) > 1 for kind in kinds)
        copied = x.windows > 1 and bool(x.extras) and not apart_already
        return Alive(apart(x) + size(y) * copied, size(y) if copied or apart_already else 0)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """A copy, unless all tokens are taken; nothing is kept."""
        patches, extras = s.take_apart()
        if self.what == "patches":
            regions = s.regions
            if regions is not None:
                regions = zeros(s.x, regions.shape[0], patches.shape[1], item=8)
            return Flow(patches.contiguous(), s.grid, (), regions)
        found = next(x for extra, x in zip(s.extras, extras, strict=True) if extra.kind == self.what)
        return Flow(found.contiguous(), y.grid)

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """The tokens taken."""
        return {"what": self.what}
