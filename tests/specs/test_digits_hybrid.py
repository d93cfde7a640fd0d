"""The hybrid for the digits: what it is made of, what it learns, and that its written result is its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import archdsl
from archdsl.graph.digest import VERSION
from archdsl.graph.node import Node
from archdsl.tasks import read_task
from archdsl.tasks.baselines import accuracies

RESULT = Path(__file__).parents[2] / "docs" / "results" / "digits_hybrid.json"


def operators(node: Node) -> Iterator[str]:
    yield node.op.name
    for part in node.parts:
        yield from operators(part)


def test_it_mixes_convolutions_a_scan_and_attention() -> None:
    a = archdsl.load("digits_hybrid")
    first, second = ({name for block in stage.blocks for name in operators(block)} for stage in a.stages)
    assert "conv2d" in first
    assert {"selective_scan", "attention"} <= second
    assert a.stages[-1].feature.tokens >= 16
    assert (a.image, a.channels, a.classes) == ((16, 16), 1, 10)


def test_the_result_is_of_the_shipped_architecture() -> None:
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    a = archdsl.load("digits_hybrid")
    cost = a.cost()
    assert (found["arch"]["params"], found["arch"]["macs"]) == (cost.params, cost.macs.total)
    if found["arch"]["digest"].startswith(f"{VERSION}:"):  # a record keeps the digest of its own time
        assert found["arch"]["digest"] == a.digest()
    assert read_task(found["task"]).text() == found["task"]
    assert [s["seed"] for s in found["seeds"]] == [0, 1, 2]
    tests = [s["test"]["accuracy"] for s in found["seeds"]]
    assert found["mean"]["test"]["accuracy"] == pytest.approx(sum(tests) / 3)
    assert found["mean"]["test"]["accuracy"] >= 0.985
    assert found["baselines_test_accuracy"] == pytest.approx(accuracies())
    assert found["command"].startswith("archdsl train digits_hybrid --task ")


@pytest.mark.slow
def test_it_learns_the_digits() -> None:
    torch.set_num_threads(1)
    run = read_task("digits(epochs = 8, batch = 32, lr = 3e-3)").start(archdsl.load("digits_hybrid"), 0)
    run.advance(8)
    assert run.scores("validation")["accuracy"] > 0.93
