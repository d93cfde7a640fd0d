"""Which architectures `archdsl bench blocks` looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from archdsl.cli.specs import unit_of
from archdsl.graph.architecture import Architecture
from archdsl.graph.library import file_of
from archdsl.graph.load import load
from archdsl.nas import library
from archdsl.nas.choosers import Drawn
from archdsl.nas.plan import SearchPlan
from archdsl.nas.read import read_search
from archdsl.nas.space import Candidate

FRUITLESS = 2_000
"""Points of a search without an architecture that fits, after which no more are drawn."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Architectures that are known, and searches that give more.

    Args:
        known: of specs.
        drawn: of the searches, one after the other; the same for the same seed. None without a search.
    """

    known: tuple[Architecture, ...]
    drawn: Iterator[Architecture] | None


def sources_of(names: Sequence[str], seed: int) -> Sources:
    """What names of specs and searches stand for.

    Raises:
        DiagnosticError: for everything that is wrong with them.
    """
    known: list[Architecture] = []
    plans: list[SearchPlan] = []
    for name in names:
        shipped = name in library.index() and file_of(name) is None and not Path(name).exists()
        if shipped or name.endswith(".search"):
            plans.append(read_search(name, {"minimize": "macs"}))  # it may name the table to be measured
            continue
        unit, main = unit_of(name)
        chosen: list[str | None] = [main] if main is not None else [*unit.arches] or [None]
        known += (load(name, arch) for arch in chosen)
    return Sources(tuple(known), _drawn(plans, Random(seed)) if plans else None)


def _drawn(plans: Sequence[SearchPlan], random: Random) -> Iterator[Architecture]:
    """Distinct architectures that meet `require`, of each search in turn, until there are no more."""
    seen: set[str] = set()
    fruitless = 0
    while fruitless < FRUITLESS:
        for plan in plans:
            found = plan.candidates.at(plan.space.draw(Drawn(random, {})))
            if isinstance(found, Candidate) and (digest := found.architecture.digest()) not in seen:
                seen.add(digest)
                fruitless = 0
                yield found.architecture
            else:
                fruitless += 1
