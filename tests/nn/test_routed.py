"""Routes: the order in which tokens are read, what stays in place, how results are merged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature, Order, Word, permutation
from archdsl.graph.node import Node, make_node, total_macs, total_params
from archdsl.nn.routed import Routed
from archdsl.nn.stream import Stream
from archdsl.ops import ShapeError
from archdsl.ops.attention import Attention
from archdsl.ops.linear import Linear
from archdsl.ops.routed import Routed as RoutedOp
from archdsl.ops.selective_scan import SelectiveScan

ORDERS = Path(__file__).parents[1] / "data" / "goldens" / "orders" / "scan_orders.json"
SIZES: dict[str, dict[str, object]] = json.loads(ORDERS.read_text())["sizes"]
EXTRAS = (Extra("registers", 3, "even"), Extra("class_token", 1, "start"))


class Record(nn.Module):
    """Passes tokens on and keeps them."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return x


def order_of(text: str) -> object:
    """`w2_flip` of LocalMamba as a value of the language."""
    name, _, flip = text.partition("_")
    words = {"h": Word("rows"), "v": Word("columns")}
    word = words[name] if name in words else Word("local", (int(name[1:]),))
    return Word("reverse", (word,)) if flip else word


def visited(order: object, grid: tuple[int, int], built: tuple[int, int]) -> list[list[int]]:
    """Numbers of the patches in the order in which each route's module sees them."""
    op = RoutedOp.model_validate({"order": order, "merge": Word("add")})
    parts = {f"r{i}": Record() for i in range(len(op.order))}
    module = Routed(op.order, "add", built, (), parts)
    x = torch.arange(float(grid[0] * grid[1]))[None, :, None]
    y = module(Stream(x, grid)).x
    assert torch.equal(y, x * len(parts)), "every route is put back in place"
    return [part.seen[0, :, 0].int().tolist() for part in parts.values()]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("at_run_time", [False, True])
def test_orders_are_the_published_ones(size: str, at_run_time: bool) -> None:
    height, width = map(int, size.split("x"))
    expected = SIZES[size]
    grid, built = (height, width), (2, 2) if at_run_time else (height, width)
    assert visited(Word("cross"), grid, built) == expected["vmamba.cross2d"]
    rows, back = Word("rows"), Word("reverse", (Word("rows"),))
    assert visited((rows,) * 4, grid, built) == expected["vmamba.unidi"]
    assert visited((rows, rows, back, back), grid, built) == expected["vmamba.bidi"]
    assert (
        visited((Word("snake"), Word("reverse", (Word("snake"),))), grid, built)
        == expected["plain.order"][:2]
    )  # type: ignore[index]
    for key, order in expected.items():
        kind, _, name = key.partition(".")
        if kind == "local" and "col" not in name and "official" not in name:
            assert isinstance(order, list)
            patches = [i for i in order if i >= 0]
            assert visited(order_of(name), grid, built) == [patches]


@settings(deadline=None)
@given(
    path=st.sampled_from(["columns", "snake", "local"]),
    size=st.integers(1, 5),
    grid=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_orders_agree_with_their_description(path: str, size: int, grid: tuple[int, int]) -> None:
    size = size if path == "local" else 0
    module = Routed((Order(path, size=size),), "mean", (1, 1), (), {"r": (record := Record())})
    module(Stream(torch.arange(float(grid[0] * grid[1]))[None, :, None], grid))
    assert tuple(record.seen[0, :, 0].int().tolist()) == permutation(path, size, grid)


@pytest.mark.parametrize("built", [(2, 3), (4, 4)])
def test_extra_tokens_stay_in_their_slots(built: tuple[int, int]) -> None:
    parts = {name: Record() for name in "abc"}
    order = (Order(), Order("columns"), Order("columns", reverse=True))
    module = Routed(order, "mean", built, EXTRAS, parts)
    # patches 0 ... 5, registers 10, 11, 12, class token 20
    x = torch.tensor([20.0, 0, 10, 1, 11, 2, 12, 3, 4, 5])[None, :, None]
    y = module(Stream(x, (2, 3), EXTRAS)).x
    assert torch.equal(y, x)
    turned = [20, 0, 10, 3, 11, 1, 12, 4, 2, 5]
    assert parts["a"].seen.flatten().tolist() == x.flatten().tolist()
    assert parts["b"].seen.flatten().tolist() == turned
    assert parts["c"].seen.flatten().tolist() == turned[::-1]


def test_one_forward_route_copies_nothing() -> None:
    record = Record()
    module = Routed((Order(),), "mean", (4, 4), (), {"rows": record})
    s = Stream(torch.randn(1, 16, 2), (4, 4))
    y = module(s)
    assert y.x.data_ptr() == record.seen.data_ptr() == s.x.data_ptr()
    assert not list(module.buffers())


def scan_routes(x: Feature, order: object, merge: str = "mean") -> Node:
    op = RoutedOp.model_validate({"order": order, "merge": Word(merge)})
    return make_node(op, x, [lambda f: make_node(SelectiveScan(state=2, dt_rank=1), f)])


def test_every_route_has_weights_of_its_own() -> None:
    node = scan_routes(
        Feature(4, (3, 3)), (Word("rows"), Word("rows"), Word("backward"), Word("local", (2,)))
    )
    assert node.names() == ("rows", "rows_2", "rows_reverse", "local2")
    one = scan_routes(Feature(4, (3, 3)), Word("forward"))
    assert total_params([node]) == 4 * total_params([one])
    assert total_macs([node]).scan == 4 * total_macs([one]).scan
    assert sum(p.numel() for p in module_of(node).parameters()) == total_params([node])


@pytest.mark.parametrize("merge", ["mean", "add"])
def test_both_directions_merge(merge: str) -> None:
    module = module_of(scan_routes(Feature(4, (3, 3), EXTRAS), Word("both"), merge))
    x = torch.randn(2, 13, 4)
    there, back = module.get_submodule("rows"), module.get_submodule("rows_reverse")
    expected = there(x) + back(x.flip(1)).flip(1)
    y = module(Stream(x, (3, 3), EXTRAS)).x
    torch.testing.assert_close(y, expected / 2 if merge == "mean" else expected)


def test_regions_travel_with_their_tokens() -> None:
    node = make_node(
        RoutedOp.model_validate({"order": (Word("columns"), Word("backward"))}),
        Feature(4, (3, 2), EXTRAS[1:]),
        [lambda f: make_node(Attention(heads=2), f)],
    )
    module = module_of(node)
    regions = torch.tensor([[-1, 0, 1, 0, 1, 2, 2]])
    s = Stream(torch.randn(2, 7, 4), (3, 2), EXTRAS[1:], regions)
    plain = s._replace(x=s.x)
    expected = sum(p(plain).x for p in module.children()) / 2
    torch.testing.assert_close(module(s).x, expected)


def test_a_change_of_width() -> None:
    op = RoutedOp.model_validate({"order": Word("cross")})
    node = make_node(op, Feature(4, (3, 3), EXTRAS), [lambda f: make_node(Linear(out=6), f)])
    assert node.output == Feature(6, (3, 3), EXTRAS)
    assert module_of(node)(Stream(torch.randn(1, 13, 4), (3, 3), EXTRAS)).x.shape == (1, 13, 6)


@pytest.mark.filterwarnings("error:.*lru_cache.*")
@pytest.mark.parametrize("grid", [(3, 3), (4, 2)])
def test_compiles(grid: tuple[int, int]) -> None:
    module = module_of(scan_routes(Feature(4, (3, 3), EXTRAS), (Word("cross"), Word("local", (2,)))))
    x = torch.randn(2, grid[0] * grid[1] + 4, 4)
    compiled = torch.compile(lambda t: module(Stream(t, grid, EXTRAS)).x, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(Stream(x, grid, EXTRAS)).x)


def test_indices_survive_a_build_on_the_meta_device() -> None:
    node = scan_routes(Feature(4, (3, 3), EXTRAS), Word("cross"))
    with torch.device("meta"):
        module = module_of(node)
    module.to_empty(device="cpu")
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    for (name, a), (_, b) in zip(module.named_buffers(), module_of(node).named_buffers(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("order", [Word("cross"), Word("snake"), Word("local", (2,))])
def test_orders_of_a_map_need_one(order: Word) -> None:
    with pytest.raises(ShapeError) as error:
        scan_routes(Feature(4, (9,)), order)
    assert error.value.code == "E304"
    assert error.value.parameter == "order"
