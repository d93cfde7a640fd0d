"""The graph of networkx, and the plain table."""

from __future__ import annotations

import networkx
import pytest

import archdsl


@pytest.mark.parametrize("name", ["mamba_r_tiny", "hybrid", "mambaout_femto"])
def test_graph_flows_from_the_image_to_the_head(name: str) -> None:
    architecture = archdsl.load(name)
    graph = architecture.to_networkx()
    total = architecture.cost()
    assert networkx.is_directed_acyclic_graph(graph)
    assert [n for n, degree in graph.in_degree() if degree == 0] == ["image"]
    (end,) = [n for n, degree in graph.out_degree() if degree == 0]
    assert end.startswith("head.linear")
    assert sum(p for _, p in graph.nodes(data="params")) == total.params
    macs = [m for _, m in graph.nodes(data="macs") if m is not None]
    assert sum(m.total for m in macs) == total.macs.total
    assert sum(m.scan for m in macs) == total.macs.scan


def test_a_residual_connection_is_an_edge_round_its_branch() -> None:
    graph = archdsl.load("mamba_r_tiny").to_networkx()
    end = "stages.trunk.blocks.1.residual"
    assert graph.has_edge("stages.trunk.blocks.0.residual", end)
    assert graph.has_edge("stages.trunk.blocks.0.residual", f"{end}.norm")
    assert graph.nodes[f"{end}.norm"]["op"] == "rms_norm"
    assert graph.nodes[f"{end}.norm"]["stage"] == "trunk"
    assert graph.nodes[f"{end}.norm"]["output"].tokens == 14 * 14 + 12


def test_summary_has_a_line_for_every_stage_and_the_totals() -> None:
    text = archdsl.load("hybrid").summary()
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[3:9]] == ["stem", "s1", "s2", "s3", "s4", "head"]
    assert "4 x (scan + 2 x window_attn)" in text
    assert f"{archdsl.load('hybrid').cost().params:,}" in lines[-2]
    assert "multiply-accumulates" in lines[-1]
