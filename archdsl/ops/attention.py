"""Softmax attention among all tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op, ShapeError
from archdsl.ops._divisors import divisors_near
from archdsl.ops._memory import VALUE_BYTES, size
from archdsl.ops._places import need_tokens
from archdsl.ops._types import Count, Flag, Positive, word
from archdsl.tape import Flow, Part, Tensor, attention, fresh, layer_norm, linear, parameter, where, zeros

EPS = 1e-5


class Attention(Op):
    """`attention(heads, causal, position, qkv_bias, qk_norm)`: softmax(q k / sqrt(dim / heads)) v, projected.

    Extra tokens attend and are attended to like patches.

    Args:
        heads: divides the channels.
        causal: whether a token sees only those before it in the sequence, and itself.
        position: `relative` adds a learned number for every head and offset on the map (Swin, eq. 4); 0 where
            an extra token takes part.
        qkv_bias: whether the projections to q, k and v have one.
        qk_norm: layer norm of every head's q and k.
        eps: of that norm.
    """

    name: ClassVar[str] = "attention"
    source: ClassVar[str] = (
        "Vaswani et al., arXiv 1706.03762, section 3.2; Liu et al., arXiv 2103.14030, eq. 4"
    )
    module: ClassVar[str] = "archdsl.nn.attention:Attention"
    mixes_tokens: ClassVar[bool] = True
    ambient: ClassVar[frozenset[str]] = frozenset({"eps"})

    heads: Count
    causal: Flag = False
    position: Annotated[Literal["relative"] | None, BeforeValidator(word)] = None
    qkv_bias: Flag = True
    qk_norm: Flag = False
    eps: Positive = EPS

    def resolved(self, x: Feature) -> Self:
        """Without the `eps` that nothing uses."""
        return self if self.qk_norm else self.model_copy(update={"eps": EPS})

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        need_tokens(x, "attention")
        check_heads(self.heads, x)
        if self.position and not x.is_map:
            raise ShapeError(
                "E304",
                "relative positions need a map",
                label=f"receives {x}",
                parameter="position",
                help="use position = none here",
            )
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """3 D^2 + 3 D (with qkv_bias) + D^2 + D, the table of offsets, and the two norms."""
        d = x.dim
        table = (2 * x.grid[0] - 1) * (2 * x.grid[1] - 1) * self.heads if self.position else 0
        norms = 4 * (d // self.heads) if self.qk_norm else 0
        return 4 * d * d + d + (3 * d if self.qkv_bias else 0) + table + norms

    def macs(self, x: Feature, y: Feature) -> Macs:
        """T * 4 D^2 in the projections, 2 T^2 D in the two products of activations; a mask saves nothing."""
        t, d = x.tokens, x.dim
        return Macs(linear=4 * t * d * d, attention=2 * t * t * d)

    def workspace(self, x: Feature, y: Feature) -> int:
        """q, k and v, with `qk_norm` normed once more, and the mixture before it is projected.

        Scores are made block by block, for two threads; with relative positions for all pairs of
        tokens, twice, beside the positions and copies of q and k.
        """
        t, held = x.tokens, (5 if self.qk_norm else 3) * size(x)
        if self.position:
            return held + 4 * size(x) + VALUE_BYTES * self.heads * t * t * (2 * x.windows + 1)
        rows = 32 if t < 192 else 64 if t < 768 else 256
        blocks = 2 * rows * (min(t, 512) + x.dim // self.heads + 2) + x.windows * self.heads * t
        return max(held + VALUE_BYTES * blocks, held + (2 if self.qk_norm else 1) * size(x))

    def buffers(self, x: Feature, y: Feature) -> tuple[int, int]:
        """With relative positions an index for every pair of tokens."""
        return 0, x.tokens**2 if self.position else 0

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The projections, the norms, the mask and the products."""
        batch, tokens, dim = s.x.shape
        qkv = linear(s.x, 3 * dim, self.qkv_bias).reshape(batch, tokens, 3, self.heads, dim // self.heads)
        q = k = v = qkv.permute(2, 0, 3, 1, 4).select(0)
        if self.qk_norm:
            q, k = layer_norm(q), layer_norm(k)
        mixed = attention(q, k, v, self._mask(s))
        return s.with_x(linear(mixed.transpose(1, 2).flatten(2), dim))

    def _mask(self, s: Flow) -> Tensor | None:
        """Who sees whom, or what is added to the products."""
        batch, tokens, _ = s.x.shape
        bias = fresh((self.heads, tokens, tokens), parameter(s.x)) if self.position else None
        if s.regions is None and bias is None:
            return None
        if s.regions is None and not self.causal:
            return bias
        windows = 1 if s.regions is None else s.regions.shape[0]
        seen = zeros(s.x, *((tokens, tokens) if s.regions is None else (windows, 1, tokens, tokens)), item=1)
        mask = seen if bias is None else where(seen, bias)
        if s.regions is None:
            return mask
        return fresh((batch, *mask.shape[1:]), mask, grows=True)

    def exponentials(self, x: Feature, y: Feature) -> int:
        """One for each head and pair of tokens."""
        return self.heads * x.tokens**2

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width, heads and options; the places, where there is a table of offsets for them."""
        return {
            "dim": x.dim,
            "heads": self.heads,
            "causal": self.causal,
            "grid": x.grid if self.position else None,
            "extras": x.extras if self.position else (),
            "qkv_bias": self.qkv_bias,
            "qk_norm": self.qk_norm,
            "eps": self.eps,
        }


def check_heads(heads: int, x: Feature) -> None:
    """Raises ShapeError, E303, where the channels can't be divided among the heads."""
    if x.dim % heads:
        near = divisors_near(x.dim, heads)
        raise ShapeError(
            "E303",
            "the heads do not divide the channels",
            label=f"{heads} does not divide {x.dim}",
            parameter="heads",
            help=f"use {near}" if near else "use 1",
        )
