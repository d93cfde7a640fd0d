"""The measurements of `archdsl bench space`."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from archdsl.cli.bench.peers.spaces import (
    SPACE_TOOLS,
    SpaceTool,
    fvcore_counter,
    fvcore_missing,
)
from archdsl.cli.bench.timing import Plan, in_turns
from archdsl.cli.machine import conditions
from archdsl.cli.messages import mistake
from archdsl.graph.load import load
from archdsl.nas.candidates import VariedCandidates
from archdsl.nas.choosers import Drawn as EvenDraws
from archdsl.nas.choosers import Noting
from archdsl.nas.domains import VariedSpace
from archdsl.nas.factored import FactoredSpace
from archdsl.nas.plan import SearchPlan
from archdsl.nas.read import read_search
from archdsl.nas.space import Alternatives, Candidate, Choice, Domain, Point

ROUNDS = 5
"""Parts into which the samples are split; a rate is the median over them."""
LOOKED_AT = 500
"""Drawn candidates that are built again from their text."""
TRACED = "mambaout_tiny"
"""What fvcore counts."""
PEER_SAMPLES = 1_000
WHAT = (
    "candidates a second of processor time, one thread, without the collector of cycles; "
    "medians over parts of the samples"
)


def measured(search: str | Path, samples: int, seed: int) -> dict[str, Any]:
    """Everything that `archdsl bench space` measures.

    Args:
        search: a file or a name.
        samples: candidates behind each rate of ours.
        seed: of what is drawn.

    Raises:
        DiagnosticError: for mistakes in the search, and E510 where its space can't be taken apart.
    """
    before = time.process_time()
    plan = read_search(search)
    candidates, space = plan.candidates, plan.space
    if not isinstance(candidates, VariedCandidates) or not isinstance(space, VariedSpace):
        raise TypeError("a search that is read has candidates of another kind")
    factored = FactoredSpace.of(candidates.base, space, candidates.requirements)
    if isinstance(factored, str) or not factored.distinct:
        why = factored if isinstance(factored, str) else "its architectures are not told apart"
        raise mistake("E510", "the space of this search is not drawn from as a whole", notes=(why,))
    size = {
        "points": factored.points, "compiling": factored.compiling, "distinct": factored.distinct,
        "seconds": round(time.process_time() - before, 3),
    }  # fmt: skip
    random = Random(seed)
    points = [space.draw(EvenDraws(random, {})) for _ in range(samples)]
    counted = _rate(lambda part: [candidates.at(p) for p in part], points)
    walked = _rate(lambda part: [factored.locate(p) for p in part], points)
    drawn = _drawn(factored, candidates, samples, random)
    return {
        "what": WHAT,
        **conditions("fvcore", "neural-pipeline-search", "pyglove", "torch"),
        "search": plan.name,
        "seed": seed,
        "samples": samples,
        "space": size,
        "counted": {"per_second": round(counted, 1), "by_the_automaton": round(walked, 1)},
        "drawn": drawn,
        "peers": {
            **{tool.name: _peer(tool, plan, candidates, space, seed) for tool in SPACE_TOOLS},
            **_fvcore(),
        },
    }


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles, as `timeit` has it: it looks at everything that the process keeps."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_uncollected()
def _rate(work: Callable[[list[Point]], object], points: list[Point]) -> float:
    """Points a second."""
    size = max(1, len(points) // ROUNDS)
    rates = []
    for first in range(0, size * ROUNDS, size):
        part = points[first : first + size]
        start = time.process_time()
        work(part)
        rates.append(len(part) / max(time.process_time() - start, 1e-9))
    return median(rates)


@_uncollected()
def _drawn(
    factored: FactoredSpace, candidates: VariedCandidates, samples: int, random: Random
) -> dict[str, Any]:
    """The rate of drawing, and what is wrong with what was drawn."""
    seen: set[str] = set()
    points: list[tuple[Point, str, int, int]] = []
    again = 0
    rates = []
    size = max(1, min(samples, factored.distinct or 1) // ROUNDS)
    for _ in range(ROUNDS):
        start, before = time.process_time(), len(points)
        while len(points) < before + size:
            found = factored.sample(random)
            if found is None:
                raise mistake("E510", "no architecture of this search meets what it requires")
            if found.digest in seen:
                again += 1
                if again > 20 * samples:
                    break
                continue
            seen.add(found.digest)
            points.append((found.point, found.digest, found.params, found.macs))
        rates.append((len(points) - before) / (time.process_time() - start))
    wrong = 0
    looked_at = random.sample(points, min(LOOKED_AT, len(points)))
    for point, digest, params, macs in looked_at:
        candidate = candidates.at(point)
        if isinstance(candidate, Candidate) and candidate.architecture.digest() == digest:
            cost = candidate.architecture.cost()
            if (cost.params, cost.macs.total) == (params, macs):
                continue
        wrong += 1
    return {
        "per_second": round(median(rates), 1), "drawn": len(points), "drawn_again": again,
        "looked_at": len(looked_at), "wrong": wrong,
    }  # fmt: skip


class _AsChosen:
    """Makes the choices of a tool; those are numbered by name."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def choose(self, domain: Domain) -> Choice:
        """The tool's."""
        value = self._values[domain.name]
        assert isinstance(value, str | int | float)
        return value


class _Listing:
    """Takes the first of everything, and notes what there was to choose from."""

    def __init__(self) -> None:
        self.choices: dict[str, tuple[object, ...]] = {}

    def choose(self, domain: Domain) -> Choice:
        """The first."""
        values: tuple[Choice, ...]
        if isinstance(domain, Alternatives):
            values = domain.labels
        else:
            steps = round((domain.high - domain.low) / (domain.step or (domain.high - domain.low)))
            numbers = (domain.low + i * (domain.step or 1) for i in range(steps + 1))
            values = tuple(round(n) if domain.whole else n for n in numbers)
        self.choices[domain.name] = values
        return values[0]


@_uncollected()
def _peer(
    tool: SpaceTool, plan: SearchPlan, candidates: VariedCandidates, space: VariedSpace, seed: int
) -> dict[str, Any]:
    """How fast another tool draws from the same choices, and what is to be said of what it drew."""
    if missing := tool.missing():
        return {"missing": missing}
    listing = _Listing()
    space.draw(listing)
    draw = tool.prepare(listing.choices, seed)
    draw()
    values = []
    rates = []
    for _ in range(ROUNDS):
        start = time.process_time()
        part = [draw() for _ in range(PEER_SAMPLES // ROUNDS)]
        rates.append(len(part) / (time.process_time() - start))
        values += part
    refused = repeated = 0
    seen: set[str] = set()
    for value in values:
        noting = Noting(_AsChosen(value))
        for line in space.lines:
            line.form.draw(noting)
        found = candidates.at(noting.made)
        if not isinstance(found, Candidate):
            refused += 1
        else:
            digest = found.architecture.digest()
            repeated += digest in seen
            seen.add(digest)
    return {
        "what": tool.what,
        "per_second": round(median(rates), 1),
        "drawn": len(values),
        "refused": round(refused / len(values), 4),
        "repeated": round(repeated / len(values), 4),
    }


def _fvcore() -> dict[str, Any]:
    """How fast fvcore counts an architecture, and how fast we count the same one, nothing remembered.

    fvcore traces modules, and cannot trace operators that take lists of flags: so it gets one without scans.
    """
    names = f"fvcore on {TRACED}, building included", f"fvcore on {TRACED}, tracing alone"
    if missing := fvcore_missing():
        return {"fvcore": {"missing": missing}}
    import torch

    torch.set_num_threads(1)
    architecture = load(TRACED)
    ways: dict[str, Callable[[], object]] = dict(zip(names, fvcore_counter(architecture), strict=True))
    ways[f"archdsl on {TRACED}, nothing remembered"] = architecture.cost
    timed = in_turns(ways, Plan(rounds=5, patience=20.0), time.process_time)
    return {name: {"per_second": round(1 / t.median, 2), "samples": t.samples} for name, t in timed.items()}
