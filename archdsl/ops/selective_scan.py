"""Mamba's selective scan with the projections that make its step sizes and vectors from the input."""

from __future__ import annotations

from math import ceil
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator

from archdsl.features import Feature
from archdsl.ops._base import Infer, Macs, Op
from archdsl.ops._memory import VALUE_BYTES, size
from archdsl.ops._places import need_tokens
from archdsl.ops._types import Count, word
from archdsl.ops._widths import with_dim
from archdsl.tape import Flow, Part, decay_rates, linear, selective_scan


class SelectiveScan(Op):
    """`selective_scan(state, dt_rank, dt_bias)`: a recurrence along the sequence, extra tokens included.

    h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t and y_t = C_t h_t + D x_t, with dt, B and C linear in x_t.

    Args:
        state: numbers in the state of each channel.
        dt_rank: width of the low-rank projection of dt; `none`: the stage's width / 16, rounded up.
        dt_bias: `once` for softplus(W dt + b), `twice` for softplus(W dt + 2 b) as in MambaVision's code.
        dim: the stage's width.
    """

    name: ClassVar[str] = "selective_scan"
    source: ClassVar[str] = "Gu and Dao, arXiv 2312.00752, section 3 and algorithm 2"
    module: ClassVar[str] = "archdsl.nn.selective_scan:SelectiveScan"
    mixes_tokens: ClassVar[bool] = True
    ambient: ClassVar[frozenset[str]] = frozenset({"dim"})

    state: Count = 16
    dt_rank: Count | None = None
    dt_bias: Annotated[Literal["once", "twice"], BeforeValidator(word)] = "once"
    dim: Count | None = None

    def resolved(self, x: Feature) -> Self:
        """With dt_rank written out; `dim` has no other use."""
        rank = ceil((self.dim or x.dim) / 16) if self.dt_rank is None else self.dt_rank
        return self.model_copy(update={"dt_rank": rank, "dim": None})

    def infer(self, x: Feature, *parts: Infer) -> Feature:
        """The input's shape."""
        need_tokens(x, "a scan")
        return x

    def params(self, x: Feature, y: Feature) -> int:
        """E (R + 2 S) + (R E + E) + E S + E for width E, rank R, state S."""
        r, s = self._rank(x), self.state
        return x.dim * (r + 2 * s) + r * x.dim + x.dim + x.dim * s + x.dim

    def macs(self, x: Feature, y: Feature) -> Macs:
        """The two projections, and the scan: tokens * E * (4 S + 2).

        A multiplication with the addition behind it is one multiply-accumulate. For each token, channel and
        number of the state there are four: dt A, (dt x) B, exp(dt A) h + ..., C h + ...; for each token and
        channel two more: dt x, D x + .... Exponentials and softplus are not counted, as no activation is.
        Papers of the family print another count, `scan9`.
        """
        r, s = self._rank(x), self.state
        return Macs(
            linear=x.tokens * (x.dim * (r + 2 * s) + r * x.dim),
            scan=x.tokens * x.dim * (4 * s + 2),
        )

    def scan9(self, x: Feature, y: Feature) -> int:
        """9 * tokens * E * S + tokens * E; the D shortcut is the last term."""
        return x.tokens * x.dim * (9 * self.state + 1)

    def workspace(self, x: Feature, y: Feature) -> int:
        """Step sizes, B, C and what the step sizes are made of; A."""
        projected = size(with_dim(x, self._rank(x) + 2 * self.state))
        return size(x) + projected + VALUE_BYTES * x.dim * self.state

    def trace(self, s: Flow, y: Feature, *parts: Part) -> Flow:
        """The projections, the decay rates, and what the scan keeps."""
        x, rank = s.x, self._rank(y)
        projected = linear(x, rank + 2 * self.state, bias=False)
        delta = linear(projected.narrow(2, rank), x.shape[2], self.dt_bias == "twice")
        B = projected.narrow(2, self.state).unsqueeze(0)
        A = decay_rates(x, x.shape[2], self.state).unsqueeze(0)
        return s.with_x(selective_scan(x.unsqueeze(0), delta.unsqueeze(0), A, B, B).select(0))

    def exponentials(self, x: Feature, y: Feature) -> int:
        """exp(dt A) for each number of the state, softplus (exp and log) of the step."""
        return x.tokens * x.dim * (self.state + 2)

    def arguments(self, x: Feature, y: Feature) -> dict[str, object]:
        """Width, state, rank, and how often the bias counts."""
        return {"dim": x.dim, "state": self.state, "dt_rank": self._rank(x), "dt_bias": self.dt_bias}

    def _rank(self, x: Feature) -> int:
        rank = self.resolved(x).dt_rank
        return 0 if rank is None else rank
