"""Linear attention: products of positive features in the place of the softmax; cost grows with the tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op, ShapeError
from archdsl.ops._places import need_tokens
from archdsl.ops._types import Count, Flag, WidthOrSame, word
from archdsl.ops._widths import resolve_width
from archdsl.ops.attention import check_heads


class LinearAttention(Op):
    """`linear_attention(heads, key_dim, value, normalize, rope, lepe)`: q (k^T v / N) / (q mean(k)).

    q and k are elu(linear(x)) + 1. Extra tokens take part, without rotation and without `lepe`. Inside
    shifted windows all tokens of a window see each other.

    Args:
        heads: divides the channels.
        key_dim: channels of q and k for each head; `same` for as many as v has.
        value: `input`: v is x itself; `project`: a linear map of it.
        normalize: whether the sum is divided by q mean(k) + 1e-6.
        rope: whether q and k of the numerator are rotated by their place on the map: all channels before the
            heads are parted, the first half by the row, the second by the column.
        lepe: whether a depthwise 3 x 3 convolution of v is added.
        qkv_bias: whether the projections have one.
    """

    name: ClassVar[str] = "linear_attention"
    source: ClassVar[str] = "Katharopoulos et al., arXiv 2006.16236, eq. 5; MILA, arXiv 2405.16605, section 4"
    module: ClassVar[str] = "archdsl.nn.linear_attention:LinearAttention"
    mixes_tokens: ClassVar[bool] = True

    heads: Count
    key_dim: WidthOrSame = "same"
    value: Annotated[Literal["input", "project"], BeforeValidator(word)] = "input"
    normalize: Flag = True
    rope: Flag = False
    lepe: Flag = False
    qkv_bias: Flag = True

    def resolved(self, x: Feature) -> Self:
        """With key_dim written out."""
        if x.dim % self.heads:
            return self
        return self.model_copy(update={"key_dim": self._key_dim(x)})

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        need_tokens(x, "attention")
        check_heads(self.heads, x)
        for parameter in ("rope", "lepe"):
            if getattr(self, parameter) and not x.is_map:
                raise ShapeError(
                    "E304",
                    f"`{parameter}` needs a map",
                    label=f"receives {x}",
                    parameter=parameter,
                    help=f"use {parameter} = off here",
                )
        keys = self._keys(x)
        if self.rope and keys % 4:
            raise ShapeError(
                "E306",
                "`rope` needs four channels for every angle",
                label=f"{keys} channels of keys are no multiple of 4",
                parameter="rope",
                help="choose a width or key_dim that gives a multiple of 4, or rope = off",
            )
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """C * 2 K for q and k (K = heads * key_dim), C^2 for v if projected, 9 C + C for `lepe`, biases."""
        c, keys = x.dim, self._keys(x)
        widths = 2 * keys + (c if self.value == "project" else 0)
        return c * widths + (widths if self.qkv_bias else 0) + (10 * c if self.lepe else 0)

    def macs(self, x: Feature, y: Feature) -> Macs:
        """Projections; k^T v and q (k^T v), T * key_dim * C each, and the normaliser, T * K; `lepe`."""
        t, c, keys = x.tokens, x.dim, self._keys(x)
        return Macs(
            linear=t * c * (2 * keys + (c if self.value == "project" else 0)),
            conv=9 * c * x.patches if self.lepe else 0,
            attention=2 * t * (keys // self.heads) * c + (t * keys if self.normalize else 0),
        )

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width, heads and options."""
        return {
            "dim": x.dim,
            "heads": self.heads,
            "key_dim": self._key_dim(x),
            "project": self.value == "project",
            "normalize": self.normalize,
            "rope": self.rope,
            "lepe": self.lepe,
            "qkv_bias": self.qkv_bias,
        }

    def _key_dim(self, x: Feature) -> int:
        return resolve_width(x.dim // self.heads if self.key_dim == "same" else self.key_dim, x, "key_dim")

    def _keys(self, x: Feature) -> int:
        return self.heads * self._key_dim(x)
