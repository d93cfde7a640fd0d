"""What is known of a space, in words and as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from archdsl.nas.factored.ranges import Range
from archdsl.nas.factored.share import Share
from archdsl.nas.factored.space import FactoredSpace

MIB = 1 << 20
MANY = 10**15


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the space of a search; None stands for what is unknown, or does not apply.

    Args:
        search: its name.
        size: of the space, in words.
        points: how many there are, the choices of the task left out.
        compiling: how many of them compile.
        distinct: how many different architectures do.
        params, macs, memory: what those cost, for one image; memory in bytes that training keeps.
        share: how many of the different architectures meet the requirements; None where nothing is required.
        drawn: where the space does not factor, how many points all of this is known from.
        reason: why something is unknown.
    """

    search: str
    size: str
    points: int | None = None
    compiling: int | None = None
    distinct: int | None = None
    params: Range | None = None
    macs: Range | None = None
    memory: Range | None = None
    share: Share | None = None
    drawn: int | None = None
    reason: str | None = None

    @classmethod
    def of(cls, search: str, space: FactoredSpace) -> Facts:
        """The facts of a space that factors."""
        size, ranges = space.space.told(), space.ranges
        share = space.share if space.requirements else None
        reason = None if space.distinct is not None else "different architectures are too hard to tell apart"
        if ranges is None:
            return cls(search, size, space.points, space.compiling, space.distinct, reason=reason)
        costs = ranges.params, ranges.macs, ranges.memory
        return cls(search, size, space.points, space.compiling, space.distinct, *costs, share, reason=reason)

    def lines(self) -> Iterator[str]:
        """The facts in words, the size first."""
        yield f"{self.search}: {self.size}"
        rest = (self._compile(), self._costs(), self._required())
        yield from (f"  {line}" for line in rest if line)

    def _compile(self) -> str:
        if self.compiling is None:
            return ""
        if self.points is None or self.drawn not in (None, self.points):
            some = f"{self.compiling:,} of {self.drawn:,} points drawn compile"
            return f"{some}; the rest is unknown: {self.reason}"
        if self.compiling == self.points:
            out = "every point compiles (proved)"
        else:
            out = f"{told(self.compiling)} of {told(self.points)} points compile (proved)"
        if self.distinct is None:
            return f"{out}; how many architectures differ is unknown: {self.reason}"
        if self.distinct == self.compiling:
            return f"{out}, all architectures different"
        return f"{out}; {told(self.distinct)} different architectures"

    def _costs(self) -> str:
        if self.params is None or self.macs is None or self.memory is None:
            return ""
        memory = " to ".join(f"{n / MIB:.3g}" for n in _ends(self.memory))
        among = "among them " if self.drawn not in (None, self.points) else ""
        counts = f"params {_between(self.params)}; MACs {_between(self.macs)}"
        return f"{among}{counts}; activations {memory} MiB an image"

    def _required(self) -> str:
        if self.share is None:
            return ""
        low, high, all_ = self.share.low, self.share.high, self.share.all
        what = "points drawn" if self.drawn not in (None, self.points) else "architectures"
        if self.share.exact:
            return f"`require` is met by {told(low)} of {told(all_)} {what} ({percent(low, all_)})"
        bounds = f"between {percent(low, all_, floor)} and {percent(high, all_, ceil)}"
        return f"`require` is met by {bounds} of the {what}"

    def row(self) -> dict[str, object]:
        """The facts for machines."""
        share = self.share
        return {
            "search": self.search,
            "size": self.size,
            "points": self.points,
            "compiling": self.compiling,
            "distinct": self.distinct,
            **{name: _row(getattr(self, name)) for name in ("params", "macs", "memory")},
            "share": None if share is None else {"low": share.low, "high": share.high, "all": share.all},
            "drawn": self.drawn,
            "reason": self.reason,
        }


def told(count: int) -> str:
    """A count of points or architectures: exact up to 15 digits."""
    return f"{count:,}" if count < MANY else f"{Decimal(count):.2e}"


def percent(part: int, whole: int, rounded: Callable[[Fraction], int] = round) -> str:
    """A share of 100 with one digit; `<` and `>` where that would tell a false 0 or 100."""
    tenths = rounded(Fraction(part * 1000, max(1, whole)))
    if part and not tenths:
        return "< 0.1 %"
    if part != whole and tenths == 1000:
        return "> 99.9 %"
    return f"{tenths / 10:.4g} %"


def _ends(of: Range) -> Sequence[int]:
    return (of.low,) if of.low == of.high else (of.low, of.high)


def _between(of: Range) -> str:
    return " to ".join(f"{n:,}" for n in _ends(of))


def _row(of: Range | None) -> list[int] | None:
    return None if of is None else [of.low, of.high]
