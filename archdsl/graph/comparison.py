"""Printed counts beside exact ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from archdsl.graph.architecture import Architecture
from archdsl.graph.cost import Cost, norms, scan9
from archdsl.graph.published import ALL_BUT_SCANS, NOT_FOUND, Figures

_UNITS: Mapping[str, int] = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Compared:
    """One printed count and what we count.

    Args:
        printed: as it stands in the paper.
        ours: our count of the same.
        agrees: whether ours, rounded to the digits printed, is the printed one.
        difference: how they differ: `rounded up`, `cut off`, `+3.9 %` for a printed count larger than ours;
            empty where they agree.
    """

    printed: str
    ours: int
    agrees: bool
    difference: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The published figures of an architecture beside ours.

    Args:
        figures: as published.
        params, macs: the counts that are printed; None where there is none.
    """

    figures: Figures
    params: Compared | None = None
    macs: Compared | None = None

    @property
    def disagreements(self) -> tuple[str, ...]:
        """What differs, each in a few words: `31.8M parameters are printed, 30,619,208 counted (+3.9 %)`."""
        named = (("parameters", self.params), ("MACs", self.macs))
        return tuple(
            f"{c.printed} {what} are printed, {c.ours:,} counted ({c.difference})"
            for what, c in named
            if c is not None and not c.agrees
        )

    @property
    def counts_otherwise(self) -> bool:
        """Whether the paper counts something else than all but scans."""
        return self.macs is not None and self.figures.macs_of != ALL_BUT_SCANS

    @property
    def note(self) -> str:
        """The note of the file; without one, what differs."""
        return self.figures.note or "; ".join(self.disagreements)


def compare_with_published(architecture: Architecture, cost: Cost, figures: Figures) -> Comparison:
    """The published figures beside ours; the multiply-accumulates of what the paper counts.

    Args:
        architecture: as published: its image size and classes unchanged.
        cost: of the architecture.
        figures: of the same architecture.
    """
    return Comparison(
        figures,
        _compared(figures.params, cost.params, "M"),
        _compared(figures.macs, counted_as(figures, architecture, cost), "G"),
    )


def counted_as(figures: Figures, architecture: Architecture, cost: Cost) -> int:
    """Our multiply-accumulates of what a paper counts, `figures.macs_of`."""
    counts: dict[str, int] = asdict(cost.macs)
    if "scan9" in figures.macs_of:
        counts["scan9"] = scan9(architecture)
    if "norms" in figures.macs_of:
        counts["norms"] = norms(architecture)
    return sum(counts[name] for name in set(figures.macs_of))


def _compared(printed: str | None, ours: int, unit: str) -> Compared | None:
    if printed is None or printed == NOT_FOUND:
        return None
    number = printed.rstrip("KMGT ")
    scale = 1 if "," in number else _UNITS[printed[-1] if printed[-1] in _UNITS else unit]
    value = Decimal(number.replace(",", ""))
    exact = Decimal(ours) / scale
    last = Decimal(1).scaleb(int(value.as_tuple().exponent))
    if exact.quantize(last, ROUND_HALF_UP) == value:
        return Compared(printed, ours, True)
    if exact.quantize(last, ROUND_FLOOR) == value:
        how = "cut off, not rounded"
    elif exact.quantize(last, ROUND_CEILING) == value:
        how = "rounded up"
    else:
        how = f"{value / exact - 1:+.1%}" if ours else "we count none"
    return Compared(printed, ours, False, how.replace("%", " %"))
