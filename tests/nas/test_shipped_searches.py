"""The searches that are shipped: they are right, and their comments tell the truth about their spaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from archdsl.nas.read import check_search, read_search

SEARCH = Path(__file__).parents[2] / "search"
FILES = sorted(SEARCH.glob("*.search"))


def test_there_are_three() -> None:
    assert {p.stem for p in FILES} >= {"tiny_cpu", "hybrid_stages", "registers"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_nothing_is_wrong_with_it(path: Path) -> None:
    assert check_search(path) == []
    assert read_search(path).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_is_found_by_its_name(path: Path) -> None:
    assert read_search(path.stem).identity == read_search(path).identity


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_fits_a_laptop(path: Path) -> None:
    plan = read_search(path)
    assert plan.base.cost().params <= 200_000
    assert plan.base.cost().macs.total <= 10_000_000
    assert plan.budget.trials is not None
    assert plan.halving is not None


def test_stage_3_of_the_hybrid_mixes_64_tokens() -> None:
    stages = {stage.name: stage for stage in read_search(SEARCH / "hybrid_stages.search").base.stages}
    assert stages["s3"].feature.tokens == 64
    assert stages["s4"].feature.tokens == 16


def test_registers_come_with_what_is_published_of_them() -> None:
    plan = read_search(SEARCH / "registers.search")
    assert plan.space.count == 16
    assert plan.base.stages[0].feature.tokens == 64 + 4
    texts = [c.text for claim in plan.claims for c in claim.comparisons]
    assert len(texts) == 4
    assert sum("at = " in text for text in texts) == 3
    for claim in plan.claims:
        for comparison in claim.comparisons:
            for side in (comparison.left, comparison.right):
                plan.candidates.with_changes(dict(side.changes))
