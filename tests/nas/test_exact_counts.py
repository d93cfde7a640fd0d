"""Points of the shipped searches: what the graph counts is what the modules have and do."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from counts import assert_counted

from archdsl.compiler.build import compile_model
from archdsl.nas.choosers import Drawn
from archdsl.nas.read import read_search
from archdsl.nas.space import Refusal

FILES = sorted((Path(__file__).parents[2] / "search").glob("*.search"))


def _check(path: Path, points: int) -> None:
    """So many points, each architecture among them once."""
    plan = read_search(path)
    random = Random(7)
    seen: set[str] = set()
    for _ in range(points):
        found = plan.candidates.at(plan.space.draw(Drawn(random, {})))
        if isinstance(found, Refusal) or found.architecture.digest() in seen:
            continue
        seen.add(found.architecture.digest())
        model = compile_model(found.architecture, device="meta", backend="reference")
        assert_counted(model)
        cost = found.architecture.cost()
        assert (found.params, found.macs) == (cost.params, cost.macs.total)
    assert seen


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_some_points_are_counted_exactly(path: Path) -> None:
    _check(path, 9)


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_thousand_points_are_counted_exactly(path: Path) -> None:
    _check(path, 1000)
