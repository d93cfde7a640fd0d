"""Bounds of time on a device: by hand, against each other, and the data behind them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.features import Feature, Word
from archdsl.graph.architecture import Architecture, Stage
from archdsl.graph.devices import devices, find_device
from archdsl.graph.node import Build, Node, make_node
from archdsl.graph.roofline import roofline
from archdsl.ops.chain import Chain
from archdsl.ops.conv1d import Conv1d
from archdsl.ops.linear import Linear
from archdsl.ops.residual import Residual
from archdsl.ops.routed import Routed
from archdsl.ops.selective_scan import SelectiveScan
from archdsl.ops.silu import Silu
from archdsl.ops.split import Split

X = Feature(512, (32, 32))
L, D = 1024, 512


def _arch(node: Node) -> Architecture:
    stage = Stage("s", node.output, node.output, ())
    return Architecture("a", (32, 32), D, 0, node, (stage,), None, Word("vim"), 0.0)


def _leaf(op: object) -> Build:
    return lambda x: make_node(op, x)  # type: ignore[arg-type]


def test_a_linear_map_waits_for_products_or_for_memory() -> None:
    node = make_node(Linear(out=2048), X)
    h200 = devices()["h200"]
    many = roofline(_arch(node), "h200", dtype="float32", batch=8).total
    assert many.limit == "matrix"
    assert many.seconds == pytest.approx(2 * 8 * L * D * 2048 / h200.matrix["float32"].rate)
    small = make_node(Linear(out=64), X)
    half = roofline(_arch(small), "h200", dtype="bfloat16").total
    moved = 2 * (L * (D + 64) + D * 64 + 64)
    assert half.limit == "memory"
    assert half.seconds == pytest.approx(moved / h200.bandwidth.rate)


def test_a_scan_of_sixteen_states_waits_for_exponentials_and_of_one_for_memory() -> None:
    for state, limit in ((16, "exponentials"), (1, "memory")):
        node = make_node(SelectiveScan(state=state, dt_rank=8), X)
        found = roofline(_arch(node), "h100", dtype="bfloat16", batch=64).total
        assert found.limit == limit
        if limit == "exponentials":
            assert found.seconds == pytest.approx(64 * L * D * 18 / devices()["h100"].exponentials.rate)


def test_operators_run_behind_each_other_and_what_one_kernel_computes_is_one() -> None:
    steps = [_leaf(Conv1d(kernel=4, causal=True)), _leaf(Silu()), _leaf(SelectiveScan(state=1, dt_rank=8))]
    apart = [roofline(_arch(step(X)), "h200", dtype="bfloat16", batch=8).total.seconds for step in steps]
    together = roofline(_arch(make_node(Chain(), X, steps)), "h200", dtype="bfloat16", batch=8).total
    assert max(apart) < together.seconds < sum(apart)

    def route(x: Feature) -> Node:
        return make_node(Chain(), x, steps)

    both = make_node(
        Split(merge="multiply"),
        X,
        [lambda x: make_node(Routed(order=Word("both")), x, [route]), _leaf(Silu())],
    )
    weights = sum(2 * n.op.params(n.input, n.output) for n in both.walk())
    gated = roofline(_arch(both), "h200", dtype="bfloat16", batch=8).total
    assert gated.memory in (0.0, pytest.approx((2 * 8 * L * (D + D // 2) + weights) / 4.8e12))

    two = make_node(Residual(), X, [_leaf(Linear()), _leaf(Silu())][:1])
    one = roofline(_arch(make_node(Linear(), X)), "h200").total.seconds
    assert roofline(_arch(two), "h200").total.seconds == pytest.approx(one + 4 * 3 * L * D / 4.8e12)


@pytest.mark.parametrize("name", ["tiny", "vim_tiny", "mambavision_t", "mila_t", "vmamba_t", "hybrid"])
def test_parts_add_up_and_faster_devices_need_no_longer(name: str) -> None:
    a = archdsl.load(name)
    found = {d: a.roofline(d, dtype="bfloat16", batch=4) for d in devices()}
    for r in found.values():
        assert sum(s.seconds for s in r.stages) == pytest.approx(r.total.seconds)
        assert [s.path for s in r.stages] == [s.path for s in a.cost().stages]
        in_order = [path for path, _ in a.top() if not path.endswith("feature_norm")]
        assert [row.path for row in r.rows] == in_order
    times = [found[d].total.seconds for d in ("cpu-2core", "a100", "h100", "h200")]
    assert times == sorted(times, reverse=True)
    assert a.roofline("h200", batch=8).total.seconds <= 8 * a.roofline("h200").total.seconds
    matrix = 2 * a.cost().macs.total / devices()["h200"].matrix["float32"].rate
    assert a.roofline("h200").total.seconds > matrix * 0.9


def test_every_rate_has_its_source_and_stands_in_the_documents() -> None:
    page = (Path(__file__).parents[2] / "docs" / "costs.md").read_text(encoding="utf-8")
    for name, device in devices().items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*)\|$", page, re.MULTILINE)
        cells = [cell.strip() for cell in row.split("|")]
        figures = [*(device.matrix.get(d) for d in ("float32", "tf32", "bfloat16"))]
        figures += [device.vector, device.bandwidth, device.exponentials]
        for cell, figure in zip(cells, figures, strict=True):
            scale = {"G": 1e9, "T": 1e12, "s": 1e9}[cell[-1]] if figure else 0
            number = float(cell.split()[0].replace(",", "")) if figure else None
            assert (number and number * scale) == (figure and pytest.approx(figure.rate)), (name, cell)
            assert figure is None or len(figure.source) > 10


def test_unknown_devices_and_types() -> None:
    for device, dtype, told in (
        ("h20", "float32", "did you mean `h200`?"),
        ("abacus", "float32", "use one of cpu-2core, a100, h100, h200"),
        ("cpu-2core", "tf32", "use one of float32, bfloat16"),
        ("a100", "bfloat61", "did you mean `bfloat16`?"),
    ):
        with pytest.raises(DiagnosticError) as caught:
            find_device(device, dtype)
        assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].help) == ("E515", told)
    with pytest.raises(ValueError, match="at least 1 image"):
        archdsl.load("tiny").roofline("h200", batch=0)


def test_long_sequences() -> None:
    stages = archdsl.load("mambaout_tiny").stages
    assert [(s.feature.tokens, s.threshold, s.is_long) for s in stages] == [
        (3136, 576, True),
        (784, 1152, False),
        (196, 2304, False),
        (49, 3456, False),
    ]
    (vit,) = archdsl.load("vit_s", image=(512, 2048)).stages  # ADE20K as the paper has it: 4K tokens
    assert (vit.feature.patches, vit.threshold, vit.is_long) == (4096, 2304, True)
