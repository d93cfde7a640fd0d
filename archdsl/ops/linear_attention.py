"""Linear attention: products of positive features in the place of the softmax; cost grows with the tokens."""

from __future__ import annotations

from math import ceil
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op, ShapeError
from archdsl.ops._linear_attention import trace
from archdsl.ops._memory import VALUE_BYTES, apart, size
from archdsl.ops._places import need_tokens
from archdsl.ops._types import Count, Flag, WidthOrSame, word
from archdsl.ops._widths import resolve_width, with_dim
from archdsl.ops.attention import check_heads
from archdsl.tape import Flow, Part


class LinearAttention(Op):
    """`linear_attention(heads, key_dim, value, ...)`: q (k^T v / N) / (q mean(k)), or sums along the order.

    q and k are positive features of linear maps of x: elu(linear(x)) + 1 unless `kernel` says otherwise.
    Extra tokens take part in their places of the sequence, without rotation and without `lepe`. Inside
    shifted windows all tokens of a window see each other, with `causal` all those before them.

    Five parameters are what distinguishes Mamba's selective scan, see docs/unified_formula.md. Along the
    sequence, from S_0 = 0 (key_dim, C / heads) and Z_0 = 0 (key_dim), for every head, (.) by channel:

        step_i = softplus(W2 W1 x_i + b)
        S_i = exp(step_i A) (.) S_(i-1) + k_i^T (step_i (.) v_i)
        Z_i = Z_(i-1) + k_i
        y_i = q_i S_i / (q_i Z_i + 1e-6) + D (.) x_i

    The exponential is there with `forget_gate`, the step at v with `input_gate`, D with `shortcut`, the
    division with `normalize`, S and Z of their own for every head. A = -exp(A_log), key_dim numbers for each
    channel of v. Not found in the paper: whether Z is forgotten too (here it isn't, as printed); which
    kernel its table 1 has; whether D multiplies x or v where they differ (here x, as printed).

    Args:
        heads: divides the channels.
        key_dim: channels of q and k for each head; `same` for as many as v has.
        value: `input`: v is x itself; `project`: a linear map of it.
        normalize: whether the sum is divided by q mean(k) + 1e-6, or q Z_i + 1e-6. Where it is off, sums over
            all tokens are still divided by their number N, sums along the sequence are not.
        rope: whether q and k of the numerator are rotated by their place on the map: all channels before the
            heads are parted, the first half by the row, the second by the column.
        lepe: whether a depthwise 3 x 3 convolution of v, before any gate, is added.
        qkv_bias: whether the projections have one.
        kernel: what makes features of q and k: `elu` (plus 1), `relu`, or `identity` as in a selective scan.
            With that q Z_i has any sign, so that `normalize` may divide by almost nothing.
        causal: whether a token sees only those before it in the sequence, and itself.
        input_gate: whether v is multiplied by the step.
        forget_gate: whether the state decays by exp(step A). Only a recurrence can do that, so `causal` is on
            then, whatever is written.
        shortcut: whether x times a learned D (one number a channel) is added, behind the division.
        gate_rank: width between W1 and W2; `none`: the stage's width / 16, rounded up, as in
            `selective_scan`. Both gates have one step in common.
        dim: the stage's width.
    """

    name: ClassVar[str] = "linear_attention"
    source: ClassVar[str] = (
        "Katharopoulos et al., arXiv 2006.16236, eq. 5; MILA, arXiv 2405.16605, eq. 2-12, section 4"
    )
    module: ClassVar[str] = "archdsl.nn.linear_attention:LinearAttention"
    mixes_tokens: ClassVar[bool] = True
    ambient: ClassVar[frozenset[str]] = frozenset({"dim"})

    heads: Count
    key_dim: WidthOrSame = "same"
    value: Annotated[Literal["input", "project"], BeforeValidator(word)] = "input"
    normalize: Flag = True
    rope: Flag = False
    lepe: Flag = False
    qkv_bias: Flag = True
    kernel: Annotated[Literal["elu", "relu", "identity"], BeforeValidator(word)] = "elu"
    causal: Flag = False
    input_gate: Flag = False
    forget_gate: Flag = False
    shortcut: Flag = False
    gate_rank: Count | None = None
    dim: Count | None = None

    def resolved(self, x: Feature) -> Self:
        """With key_dim, causal and gate_rank written out; `dim` and a rank without a gate have no use."""
        found: dict[str, object] = {
            "causal": self.causal or self.forget_gate,
            "gate_rank": self._rank(x) or None,
            "dim": None,
        }
        if x.dim % self.heads == 0:
            found["key_dim"] = self._key_dim(x)
        return self.model_copy(update=found)

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
        """C * 2 K for q and k (K = heads * key_dim), C^2 for v if projected, biases; 9 C + C for `lepe`.

        For a gate of rank R 2 R C + C, with a forget gate C * key_dim more; for the shortcut C.
        """
        c, keys, rank = x.dim, self._keys(x), self._rank(x)
        widths = 2 * keys + (c if self.value == "project" else 0)
        gate = 2 * rank * c + c if rank else 0
        decay = c * self._key_dim(x) if self.forget_gate else 0
        return (
            c * widths
            + (widths if self.qkv_bias else 0)
            + (10 * c if self.lepe else 0)
            + (gate + decay + (c if self.shortcut else 0))
        )

    def macs(self, x: Feature, y: Feature) -> Macs:
        """Projections; k^T v and q (k^T v), T * key_dim * C each, and the normaliser, T * K; `lepe`.

        Sums along the sequence are counted as a scan, by the convention of `selective_scan`. For each token,
        channel and number of the state: k^T v + S and q S, with a forget gate also step A and the decay of S
        (its k^T v and exp(step A) S + ... are two); for each token and channel: step v and D x where they
        are there; for the normaliser q Z, T * K. With all of them and one head that is T * C * (4 S + 2).
        Elsewhere products by channel are not counted, as those of no gate are.
        """
        t, c, keys, rank = x.tokens, x.dim, self._keys(x), self._rank(x)
        state, normaliser = self._key_dim(x), t * keys if self.normalize else 0
        linear = t * c * (2 * keys + (c if self.value == "project" else 0) + 2 * rank)
        conv = 9 * c * x.patches if self.lepe else 0
        if not (self.causal or self.forget_gate):
            return Macs(linear=linear, conv=conv, attention=2 * t * state * c + normaliser)
        steps = (4 if self.forget_gate else 2) * state + self.input_gate + self.shortcut
        return Macs(linear=linear, conv=conv, scan=t * c * steps + normaliser)

    def scan9(self, x: Feature, y: Feature) -> int:
        """With a forget gate 9 * tokens * C * key_dim + tokens * C; sums that forget nothing as in `macs`."""
        if not self.forget_gate:
            return self.macs(x, y).scan
        return x.tokens * x.dim * (9 * self._key_dim(x) + 1)

    def workspace(self, x: Feature, y: Feature) -> int:
        """q and k, their features and rotations, v and its step; copies for the products.

        What an operator of torch takes on the way counts where it is large: the sums before they are scaled,
        angles of the rotation, one number for every place and pair of channels.
        """
        keys, values, gated = size(with_dim(x, self._keys(x))), size(x), self._rank(x) > 0
        features = {"elu": 6, "relu": 4, "identity": 2}[self.kernel] * keys
        held = 2 * keys + (values if self.value == "project" else 0)
        rotating = 0
        if self.rope:
            rotating = held + 4 * keys + 3 * keys // (2 * x.windows) + apart(with_dim(x, 2 * self._keys(x)))
            held += 2 * keys
        held += values if gated else 0
        if self.causal or self.forget_gate:
            summing = held + values * (2 + (not self.input_gate) * (1 + self.forget_gate))
        else:
            summing = held + (2 if x.windows > 1 else 1) * keys + (2 if gated else 1) * values
        divided = self.normalize or self.lepe or self.shortcut
        weights = VALUE_BYTES * x.tokens * self.heads * x.windows if self.normalize else 0
        return max(features, rotating, summing, held + (2 if divided else 1) * values + weights) - values

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """Step by step what the module does."""
        return trace(self, s, self._key_dim(y), self._rank(y))

    def by_channel(self, x: Feature, y: Feature) -> int:
        """The sums along the sequence and the depthwise convolution."""
        macs = self.macs(x, y)
        return macs.scan + macs.conv

    def exponentials(self, x: Feature, y: Feature) -> int:
        """elu of q and k, softplus (exp and log) of the step, what a state decays by."""
        features = 2 * self._keys(x) if self.kernel == "elu" else 0
        step = 2 * x.dim if self._rank(x) else 0
        return x.tokens * (features + step + (x.dim * self._key_dim(x) if self.forget_gate else 0))

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
            "kernel": self.kernel,
            "causal": self.causal or self.forget_gate,
            "input_gate": self.input_gate,
            "forget_gate": self.forget_gate,
            "shortcut": self.shortcut,
            "gate_rank": self._rank(x),
        }

    def _rank(self, x: Feature) -> int:
        """Width between the two linears of the gates, 0 where there is no gate."""
        if not (self.input_gate or self.forget_gate):
            return 0
        return ceil((self.dim or x.dim) / 16) if self.gate_rank is None else self.gate_rank

    def _key_dim(self, x: Feature) -> int:
        return resolve_width(x.dim // self.heads if self.key_dim == "same" else self.key_dim, x, "key_dim")

    def _keys(self, x: Feature) -> int:
        return self.heads * self._key_dim(x)
