"""The measurements of `archdsl bench ops`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer

from archdsl.cli.bench import ours, parts
from archdsl.cli.bench.groups import ALLOWED, Group, Outputs, measured, medians, ratios, wrong
from archdsl.cli.bench.journal import Journal, Row
from archdsl.cli.bench.limits import copies, exponentials
from archdsl.cli.bench.peers import cpp, published, torch_loop, torch_runs
from archdsl.cli.bench.peers.peer import Peer, Ready
from archdsl.cli.bench.problems import QUICK_SHAPES, SHAPES, Shape, problem
from archdsl.cli.bench.starts import WHAT as WHAT_STARTS
from archdsl.cli.bench.starts import starts
from archdsl.cli.bench.timing import Plan, Timed, clock, in_turns
from archdsl.cli.machine import conditions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PASSES = {"forward": "forward", "both": "forward + backward"}
EXP_SHARE_STATE = 16
PACKAGES = ("torch", "numba", "numpy", "transformers", "mambapy")
WHAT = (
    "the selective scan with softplus, skip and gate: medians in milliseconds of ways timed in turns, {clock}"
    "; `ratios` are times over that of `against`; (b, d, n, l): images, channels, states, steps"
)
Results = dict[str, Any]


class Item(NamedTuple):
    """A group to measure: `one` direction, `both`, or `parts` of a scan, by type, pass and shape."""

    kind: str
    dtype: str
    which: str
    shape: Shape

    @property
    def key(self) -> str:
        """In the journal, and as shown."""
        kind = {"one": "", "both": "both directions, ", "parts": "parts, "}[self.kind]
        return f"{kind}{self.dtype}, {PASSES[self.which]}, {self.shape.text}"


@dataclass(frozen=True, slots=True)
class Scans:
    """One run.

    Args:
        shapes: what is scanned.
        threads: of every way.
        plan: how often.
        peers: of others, and our own loops, by type of the numbers.
        journal: where rows are kept.
        first_calls: starts behind each first call of a process, 0 for none.
    """

    shapes: tuple[Shape, ...]
    threads: int
    plan: Plan
    peers: dict[str, list[Peer]]
    journal: Journal
    first_calls: int
    now: Callable[[], float] = field(repr=False)

    @classmethod
    def prepare(
        cls,
        shapes: tuple[Shape, ...],
        threads: int,
        quick: bool,
        mamba_ssm: Path | None,
        fetch: bool,
        first_calls: bool,
        out: Path | None,
    ) -> Scans:
        """Sets the threads of torch, finds the peers, takes up a run that was broken off."""
        torch.set_num_threads(threads)
        plan = Plan(3, 0.5) if quick else Plan()
        chosen = shapes or (QUICK_SHAPES if quick else SHAPES)
        source = published.source_of_mamba_ssm(mamba_ssm, fetch)
        others = [
            cpp.cpp_peer(threads),
            published.mamba_ssm_peer(source),
            published.transformers_peer(),
            published.mambapy_peer(),
            torch_loop.loop_peer(),
            torch_runs.runs_peer(),
        ]
        peers = {name: [*ours.our_peers(dtype), *others] for name, dtype in DTYPES.items()}
        known = conditions(*PACKAGES)
        settings = {
            "command": "bench ops", "shapes": chosen, "threads": threads, "rounds": plan.rounds,
            "machine": known["machine"], "versions": known["versions"],
            "peers": {p.name: p.missing() for p in peers["float32"]},
        }  # fmt: skip
        repeats = (1 if quick else 3) if first_calls else 0
        return cls(chosen, threads, plan, peers, Journal(settings, out), repeats, clock(threads))

    @property
    def against(self) -> str:
        """The way that ratios are over: our preferred kernel, channels last."""
        return self.peers["float32"][0].name

    @property
    def own(self) -> list[str]:
        """Names of our kernels' rows."""
        return [p.name for p in self.peers["float32"] if p.what.startswith("archdsl")]

    def run(self) -> Results:
        """Measures what the journal does not hold yet."""
        items = [Item("one", *rest) for rest in product(DTYPES, PASSES, self.shapes)]
        items += [Item("both", "float32", *rest) for rest in product(PASSES, self.shapes)]
        items += [Item("parts", "float32", "forward", shape) for shape in self.shapes]
        total = 1 + bool(self.first_calls) + len(items)
        limits = self._row(f"[1/{total}]", "limits", self._limits)
        first: Row = {}
        if self.first_calls:
            first = self._row(f"[2/{total}]", "first calls", lambda: dict(starts(self.first_calls)))
        rows = {
            item: self._row(f"[{number}/{total}]", item.key, partial(self._measure, item))
            for number, item in enumerate(items, total - len(items) + 1)
        }
        own = {*self.own, *ours.WAYS, ours.ONE_DIRECTION, *parts.LEFT_OUT}
        return {
            "what": WHAT.format(clock=_clock_text(self.threads)),
            **conditions(*PACKAGES),
            "threads": self.threads,
            "rounds": self.plan.rounds,
            "against": self.against,
            "peers": {p.name: {"what": p.what, "missing": p.missing()} for p in self.peers["float32"]},
            "scans": [_told(i, r, self.against) for i, r in rows.items() if i.kind == "one"],
            "both_directions": [_told(i, r, ours.ONE_DIRECTION) for i, r in rows.items() if i.kind == "both"],
            "parts": {
                "what": parts.WHAT,
                "scans": [_told(i, r, parts.ALL) for i, r in rows.items() if i.kind == "parts"],
            },
            "limits": limits,
            "share_of_exponentials": self._shares(limits, rows),
            "first_calls": {"what": WHAT_STARTS, **first} if first else {},
            "wrong": wrong({item.key: row for item, row in rows.items()}, own.__contains__),
        }

    def _row(self, place: str, key: str, measure: Callable[[], Row]) -> Row:
        typer.echo(f"{place} {key}", err=True)
        return self.journal.row(key, measure)

    def _measure(self, item: Item) -> Row:
        return {"one": self._scan, "both": self._both_ways, "parts": self._parts}[item.kind](item)

    def _limits(self) -> Row:
        rates = exponentials(self.now, self.plan)
        return {
            "exponentials_per_second": {n: round(r) for n, r in rates.items()},
            "bytes_copied_per_second": {n: round(r) for n, r in copies(self.now, self.plan).items()},
        }

    def _timed(self, ways: Mapping[str, Callable[[], Outputs]]) -> Mapping[str, Timed]:
        return in_turns(ways, self.plan, self.now)

    def _scan(self, item: Item) -> Row:
        _, dtype, which, shape = item
        x = problem(shape, DTYPES[dtype])
        group = Group()
        for peer in self.peers[dtype]:
            reason = peer.missing() or ("" if dtype in peer.dtypes else f"it does not compute in {dtype}")
            reason = reason or peer.refuses(x, which)
            if reason:
                group.absent[peer.name] = reason
            else:
                group.ways[peer.name] = _pass(peer.prepare(x), which)
        truth = _pass(ours.exact(x), which)()
        return measured(group, lambda name: truth, ALLOWED[dtype], self._timed)

    def _both_ways(self, item: Item) -> Row:
        _, _, which, shape = item
        x = ours.BothWays(problem(shape, torch.float32), problem(shape, torch.float32, seed=1))
        exact = ours.BothWays(x.there.to(torch.float64), x.back.to(torch.float64))
        names = (ours.ONE_DIRECTION, *ours.WAYS)
        group = Group({n: _pass(ours.ready_both_ways(x, n, "auto"), which) for n in names})
        one, two = (
            _pass(ours.ready_both_ways(exact, n, ours.REFERENCE), which)()
            for n in (ours.ONE_DIRECTION, "both, two calls")
        )
        truth = lambda name: one if name == ours.ONE_DIRECTION else two  # noqa: E731
        return measured(group, truth, ALLOWED["float32"], self._timed)

    def _parts(self, item: Item) -> Row:
        x = problem(item.shape, torch.float32)
        exact = parts.ways(x.to(torch.float64), ours.REFERENCE)
        return measured(Group(parts.ways(x)), lambda name: exact[name](), ALLOWED["float32"], self._timed)

    def _shares(self, limits: Row, rows: dict[Item, Row]) -> dict[str, float]:
        """States a second of our forward at 16 states, over the best rate of exponentials, by shape."""
        rates = limits["exponentials_per_second"]
        assert isinstance(rates, dict)
        if not rates or self.threads > 1:
            return {}
        return {
            s.text: round(s.states / (1e-3 * medians(r)[self.against]) / max(rates.values()), 4)
            for (kind, d, w, s), r in rows.items()
            if (kind, d, w, s.state) == ("one", "float32", "forward", EXP_SHARE_STATE)
            and self.against in medians(r)
        }


def _pass(ready: Ready, which: str) -> Callable[[], Outputs]:
    """One of `PASSES` of a way."""
    return (lambda: (ready.forward(),)) if which == "forward" else ready.both


def _told(item: Item, row: Row, against: str) -> Row:
    """The row as it stands in the file."""
    head: Row = {"dtype": item.dtype, "pass": PASSES[item.which], "shape": list(item.shape)}
    return {**head, **row, "ratios": ratios(row, against)}


def _clock_text(threads: int) -> str:
    return "processor time of one thread" if threads == 1 else f"wall time of {threads} threads"
