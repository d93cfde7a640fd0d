"""Repeats in a sequence of blocks, found again: what a person would have written."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from archdsl.graph.node import Node

T = TypeVar("T", bound=Hashable)

MAX_PERIOD = 24
"""Longer groups of blocks are not looked for."""


@dataclass(frozen=True, slots=True)
class Run(Generic[T]):
    """`count x items`; an item stands for itself or is a run inside the run."""

    count: int
    items: tuple[T | Run[T], ...]


def fold(items: Sequence[T]) -> tuple[Run[T], ...]:
    """The sequence as runs, from the left: the repeat that covers most, else the item by itself.

    `a b b a b b c` is `2 x (a + 2 x b) + c`.
    """
    runs: list[Run[T]] = []
    at = 0
    while at < len(items):
        period, count = _longest(items, at)
        body = tuple(items[at : at + period])
        inside: tuple[T | Run[T], ...] = body
        if period > 1:
            inside = tuple(r.items[0] if r.count == 1 else r for r in fold(body))
        runs.append(Run(count, inside))
        at += period * count
    return tuple(runs)


def _longest(items: Sequence[T], at: int) -> tuple[int, int]:
    """The period and count of the repeat at `at` that covers most; the shortest period among equals."""
    best = (1, 1)
    left = len(items) - at
    for period in range(1, min(left // 2, MAX_PERIOD) + 1):
        count = 1
        body = items[at : at + period]
        while items[at + count * period : at + (count + 1) * period] == body:
            count += 1
        if count > 1 and period * count > best[0] * best[1]:
            best = (period, count)
        if best[0] * best[1] == left:
            break
    return best


def fold_text(runs: Sequence[Run[str]]) -> str:
    """`4 x scan + 4 x (window_attn + scan)`, as the language writes it."""
    return " + ".join(_run_text(run) for run in runs)


def _run_text(run: Run[str]) -> str:
    inside = " + ".join(item if isinstance(item, str) else _run_text(item) for item in run.items)
    if run.count == 1:
        return inside
    alone = len(run.items) == 1 and isinstance(run.items[0], str)
    return f"{run.count} x {inside}" if alone else f"{run.count} x ({inside})"


def callee(node: Node) -> str:
    """The name under which a block or network was called in the arch; the operator's where nobody called."""
    return node.calls[0].callee if node.calls else node.op.name
