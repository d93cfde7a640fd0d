"""Repeats found again in sequences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archdsl.graph.views.folding import Run, fold, fold_text


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ("", ""),
        ("a", "a"),
        ("aaaa", "4 x a"),
        ("aabb", "2 x a + 2 x b"),
        ("abab", "2 x (a + b)"),
        ("abbabbc", "2 x (a + 2 x b) + c"),
        ("abcabd", "a + b + c + a + b + d"),
        ("aab", "2 x a + b"),
    ],
)
def test_folded(blocks: str, text: str) -> None:
    assert fold_text(fold(list(blocks))) == text


def _unfolded(runs: tuple[Run[str] | str, ...]) -> list[str]:
    out: list[str] = []
    for run in runs:
        out += [run] if isinstance(run, str) else run.count * _unfolded(run.items)
    return out


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_nothing_is_lost(blocks: list[str]) -> None:
    assert _unfolded(fold(blocks)) == blocks
