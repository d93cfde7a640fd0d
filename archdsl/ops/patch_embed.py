"""Patches of an image as tokens."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op, ShapeError
from archdsl.ops._memory import apart, filters, on_map, size, turned
from archdsl.ops._places import need_map
from archdsl.ops._types import Kernel, Width
from archdsl.ops._widths import carried_macs, carried_params, carried_tokens, resolve_width
from archdsl.tape import Flow, Part, conv2d


class PatchEmbed(Op):
    """`patch_embed(patch, out, stride)`: a linear map of every patch of P x P places, biases included.

    A map (H, W, C) becomes floor((H - P) / stride) + 1 by floor((W - P) / stride) + 1 tokens of `out`
    channels; rows and columns left over at the bottom and the right are not read. Extra tokens go through a
    linear map of their own where the width changes.

    Args:
        patch: P, the side of a patch.
        out: channels of a token.
        stride: places from one patch to the next; `none`: the side of a patch, so that none overlap.
    """

    name: ClassVar[str] = "patch_embed"
    source: ClassVar[str] = "Dosovitskiy et al., arXiv 2010.11929, eq. 1; overlapping: Vim, arXiv 2401.09417"
    module: ClassVar[str] = "archdsl.nn.patch_embed:PatchEmbed"
    channels_first: ClassVar[Literal["copied", "kept", "read"]] = "read"

    patch: Kernel
    out: Width
    stride: Kernel | None = None

    def resolved(self, x: Feature) -> Self:
        """With the stride written out."""
        return self.model_copy(update={"stride": self._stride})

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The grid of patches."""
        height, width = need_map(x, "a patch embedding")
        if min(height, width) < self.patch:
            raise ShapeError(
                "E308",
                "a patch is larger than what it is cut from",
                label=f"{self.patch} x {self.patch}, receives {height} x {width}",
                parameter="patch",
                help="use smaller patches or a larger image",
            )
        grid = tuple((side - self.patch) // self._stride + 1 for side in (height, width))
        return Feature(resolve_width(self.out, x), grid, x.extras, x.windows)

    def params(self, x: Feature, y: Feature) -> int:
        """C P^2 out + out, and the linear map of the extra tokens."""
        return x.dim * self.patch**2 * y.dim + y.dim + carried_params(x, y)

    def macs(self, x: Feature, y: Feature) -> Macs:
        """C P^2 out for each patch, and the linear map of the extra tokens."""
        return Macs(conv=y.patches * x.dim * self.patch**2 * y.dim, linear=carried_macs(x, y))

    def reduction(self, x: Feature, y: Feature) -> int:
        """The stride."""
        return self._stride

    def workspace(self, x: Feature, y: Feature) -> int:
        """The weights in the order of the kernel; extra tokens."""
        weights = on_map(x) + filters(x, y, self.patch, x.dim * self.patch**2)
        return apart(x) + max(weights, size(y) if y.extras else 0)

    def turned(self, x: Feature, y: Feature) -> int:
        """The weights with channels last."""
        return turned(y, self.patch, x.dim * self.patch**2)

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The convolution of the map, the extra tokens past it."""
        image, extras = s.map_and_extras()
        image = conv2d(image, y.dim, (self.patch, self.patch), self._stride)
        return s.with_map(image, carried_tokens(extras, y.dim))

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Widths, patch and stride, and whether extra tokens need their linear map."""
        return {
            "channels": x.dim,
            "dim": y.dim,
            "patch": self.patch,
            "stride": self._stride,
            "extras": carried_params(x, y) > 0,
        }

    @property
    def _stride(self) -> int:
        return self.patch if self.stride is None else self.stride
