"""How many architectures meet what a search requires: exact, or between bounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from archdsl.nas.factored.bounds import Decide
from archdsl.nas.factored.distinct import Cost, Distinct, Places

TABLE = 300_000
"""Different costs that are told apart of what can follow a place; more are taken together."""
ADDITIONS = 1_000_000
"""For all places together, as nearly as that can be told before."""
SMALL = 2_000
"""Different costs that are always told apart."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of `all` architectures meet the requirements: from `low` to `high`, equal where known."""

    low: int
    high: int
    all: int

    @property
    def exact(self) -> bool:
        """Whether the number is known."""
        return self.low == self.high


@dataclass(slots=True)
class _Table:
    """What can follow a place: how many labels cost so much.

    Args:
        counts: by the least that they cost.
        met: how many meet the requirements whatever stands before them.
        slack: how much more than the least a cost may be.
    """

    counts: dict[Cost, int] = field(default_factory=dict)
    met: int = 0
    slack: Cost = (0, 0)


def share(all_of: Distinct, decide: Decide, metrics: frozenset[str], table: int | None = None) -> Share:
    """How many of the architectures meet a condition.

    Args:
        all_of: the architectures.
        decide: the condition.
        metrics: those it looks at, `params` and `macs`.
        table: costs that are told apart; by default as many as a few seconds allow.
    """
    if table is None:
        arrows = sum(len(places.arrows) for places in all_of.upwards)
        table = max(SMALL, min(TABLE, ADDITIONS // max(1, arrows)))
    return _Sharing(decide, "params" in metrics, "macs" in metrics, table).of(all_of)


def costs(all_of: Distinct) -> dict[Cost, int] | None:
    """How many architectures cost how much; None where they cost too much differently."""
    sharing = _Sharing(lambda _: None, True, True, SMALL * 10)
    table = sharing.table(all_of)
    return table.counts if table.slack == (0, 0) else None


@dataclass(slots=True)
class _Sharing:
    decide: Decide
    params: bool
    macs: bool
    most: int
    least: dict[int, Cost] = field(default_factory=dict)
    largest: dict[int, Cost] = field(default_factory=dict)

    def of(self, all_of: Distinct) -> Share:
        """How many architectures meet the condition."""
        root = self.table(all_of)
        low = high = root.met
        for cost, count in root.counts.items():
            held = self._held(cost, root.slack, (0, 0), (0, 0))
            low += count if held is True else 0
            high += count if held is not False else 0
        return Share(low, high, all_of.count)

    def table(self, all_of: Distinct) -> _Table:
        """What the architectures cost, as far as that is open."""
        self._before(all_of)
        tables: dict[int, _Table] = {}
        uses = Counter(id(arrow.target) for places in all_of.upwards for arrow in places.arrows)
        for places in all_of.upwards:
            tables[id(places)] = self._table(places, tables)
            for arrow in places.arrows:
                uses[id(arrow.target)] -= 1
                if not uses[id(arrow.target)]:
                    del tables[id(arrow.target)]
        return tables[id(all_of.start)]

    def _before(self, all_of: Distinct) -> None:
        """The least and the most that stands before every place."""
        start = id(all_of.start)
        self.least[start] = self.largest[start] = (0, 0)
        for places in reversed(all_of.upwards):
            a, b = self.least[id(places)]
            c, d = self.largest[id(places)]
            for arrow in places.arrows:
                p, m = arrow.cost
                key = id(arrow.target)
                x, y = self.least.get(key, (a + p, b + m))
                self.least[key] = min(x, a + p), min(y, b + m)
                x, y = self.largest.get(key, (c + p, d + m))
                self.largest[key] = max(x, c + p), max(y, d + m)

    def _held(self, cost: Cost, slack: Cost, least: Cost, most: Cost) -> bool | None:
        (p, m), (s, r) = cost, slack
        return self.decide((p + least[0], p + s + most[0], m + least[1], m + r + most[1]))

    def _table(self, places: Places, tables: dict[int, _Table]) -> _Table:
        if not places.arrows:
            return _Table({(0, 0): 1})
        out = _Table()
        counts = out.counts
        for arrow in places.arrows:
            below = tables[id(arrow.target)]
            p, m = arrow.cost[0] if self.params else 0, arrow.cost[1] if self.macs else 0
            out.met += below.met
            out.slack = max(out.slack[0], below.slack[0]), max(out.slack[1], below.slack[1])
            for (a, b), count in below.counts.items():
                cost = a + p, b + m
                counts[cost] = counts.get(cost, 0) + count
        if len(counts) > SMALL:
            self._settle(out, self.least[id(places)], self.largest[id(places)])
        if len(out.counts) > self.most:
            self._coarsen(out)
        return out

    def _settle(self, table: _Table, least: Cost, most: Cost) -> None:
        """Takes out what meets the condition, or does not, whatever stands before it."""
        open_: dict[Cost, int] = {}
        for cost, count in table.counts.items():
            held = self._held(cost, table.slack, least, most)
            if held is None:
                open_[cost] = count
            elif held:
                table.met += count
        table.counts = open_

    def _coarsen(self, table: _Table) -> None:
        """Takes costs together that lie near each other, rounded down, and allows for the difference."""
        counts = table.counts
        width = max(p for p, _ in counts) - min(p for p, _ in counts)
        height = max(m for _, m in counts) - min(m for _, m in counts)
        parts = 4 * self.most
        while True:
            u, v = width // parts + 1, height // parts + 1
            merged: dict[Cost, int] = {}
            for (p, m), count in counts.items():
                cost = p // u * u, m // v * v
                merged[cost] = merged.get(cost, 0) + count
            if 2 * len(merged) <= self.most or parts == 1:
                break
            parts //= 2
        table.counts = merged
        table.slack = table.slack[0] + u - 1, table.slack[1] + v - 1
