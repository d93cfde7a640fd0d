"""The cost model: published totals, sums, shared weights, activations."""

from __future__ import annotations

from dataclasses import replace

import pytest

import archdsl
from archdsl.features import Feature, Word
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.cost import Subtotals, cost
from archdsl.graph.node import Node, make_node, total_macs, total_params
from archdsl.ops import Macs
from archdsl.ops.chain import Chain
from archdsl.ops.linear import Linear
from archdsl.ops.residual import Residual

PUBLISHED = {
    "mamba_r_tiny": 9_264_232,
    "mamba_r_small": 27_801_064,
    "mamba_r_base": 99_301_096,
    "mamba_r_large": 341_222_376,
    "mambaout_femto": 7_304_536,
    "mambaout_kobe": 9_141_208,
    "mambaout_tiny": 26_545_096,
    "mambaout_small": 48_488_072,
    "mambaout_base": 84_813_092,
    "mambaout_small_rw": 48_495_560,
    "mambaout_base_short_rw": 88_827_688,
    "mambaout_base_tall_rw": 86_481_448,
    "mambaout_base_wide_rw": 94_448_104,
    "mambaout_base_plus_rw": 101_656_552,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_of_published_models(name: str) -> None:
    assert archdsl.load(name).cost().params == PUBLISHED[name]


@pytest.mark.parametrize("name", ["mamba_r_tiny", "mambaout_femto", "hybrid"])
def test_rows_and_stages_add_up(name: str) -> None:
    architecture = archdsl.load(name)
    total = architecture.cost()
    nodes = [node for _, node in architecture.top()]
    assert total.params == total_params(nodes)
    assert total.macs == total_macs(nodes)
    for rows in (total.rows, total.stages):
        assert sum(r.params for r in rows) == total.params
        assert sum((r.macs for r in rows), Macs()) == total.macs
        assert sum(r.saved.each for r in rows) == total.saved.each == total.activation_bytes
        assert sum(r.saved.fixed for r in rows) == total.saved.fixed
    assert [r.path for r in total.rows] == [path for path, _ in architecture.top()]
    assert [r.path for r in total.stages] == ["stem", *(s.name for s in architecture.stages), "head"]


X = Feature(8, (2, 3))


def _linear(out: int) -> Node:
    return make_node(Linear(out=out), X)


def test_windows_count_in_macs() -> None:
    window = Feature(8, (2, 3), windows=5)
    row = Subtotals().row("", make_node(Linear(out=16), window))
    assert row.macs.linear == 5 * 6 * 8 * 16
    assert row.params == 8 * 16 + 16


def test_shared_weights_count_once_in_a_top_node() -> None:
    shared = replace(_linear(8), share="a")
    first = make_node(Chain(), X, [lambda _: shared, lambda _: shared])
    costs = cost(_architecture(first, (shared, _linear(8))))
    one = 8 * 8 + 8
    assert [r.params for r in costs.rows] == [one, one, one]
    assert costs.params == 3 * one
    assert costs.macs.linear == 4 * 6 * 8 * 8


def test_a_repeated_block_is_computed_once() -> None:
    block = make_node(Residual(), X, [lambda x: make_node(Linear(), x)])
    subtotals = Subtotals()
    rows = [subtotals.row(str(i), block) for i in range(1000)]
    assert len(subtotals.known) == 2
    assert sum(r.params for r in rows) == 1000 * (8 * 8 + 8)


def _architecture(stem: Node, blocks: tuple[Node, ...]) -> Architecture:
    stage = Stage("s", X, X, blocks)
    return Architecture("a", (2, 3), 8, 0, stem, (stage,), None, Word("vim"), 0.0)
