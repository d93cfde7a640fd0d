"""Routes: the order in which tokens are read, what stays in place, how results are merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from orders_by_hand import permutation
from torch import Tensor, nn

from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature, Order, Word
from archdsl.graph.node import Node, make_node, total_macs, total_params
from archdsl.nn.routed import Routed
from archdsl.nn.stream import Stream
from archdsl.ops import ShapeError
from archdsl.ops.attention import Attention
from archdsl.ops.chain import Chain
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


class Replace(nn.Module):
    """Returns tokens of its own."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens

    def forward(self, x: Tensor) -> Tensor:
        return self.tokens


ROWS, COLUMNS, SNAKE = Word("rows"), Word("columns"), Word("snake")


def reverse(order: Word) -> Word:
    return Word("reverse", (order,))


def order_of(text: str) -> Word:
    """`w2_col_flip` of LocalMamba as a value of the language."""
    name, *more = text.split("_")
    words = {"h": ROWS, "v": COLUMNS}
    way = (COLUMNS,) if "col" in more else ()
    word = words[name] if name in words else Word("local", (int(name[1:]), *way))
    return reverse(word) if "flip" in more else word


PUBLISHED: dict[str, tuple[Word, ...]] = {
    "vmamba.cross2d": (ROWS, COLUMNS, reverse(ROWS), reverse(COLUMNS)),
    "vmamba.unidi": (ROWS,) * 4,
    "vmamba.bidi": (ROWS, ROWS, reverse(ROWS), reverse(ROWS)),
    "plain.order": (
        SNAKE,
        reverse(SNAKE),
        Word("snake", (COLUMNS,)),
        reverse(Word("snake", (COLUMNS,))),
    ),
} | {
    f"local.{name}": (order_of(name),)
    for name in (
        *("h", "h_flip", "v", "v_flip", "w2", "w2_flip", "w3", "w7", "w7_flip", "w2_col", "w2_col_flip"),
    )
}


def published(size: str, key: str) -> list[list[int]]:
    """The lists of one kind of order in the fixture."""
    lists: Any = SIZES[size][key]
    return lists if isinstance(lists[0], list) else [lists]


def grid_of(size: str) -> tuple[int, int]:
    height, width = map(int, size.split("x"))
    return height, width


def visited(order: object, grid: tuple[int, int], built: tuple[int, int]) -> list[list[int]]:
    """What each route's module sees, -1 for a zero slot; everything comes back to its own place."""
    op = RoutedOp.model_validate({"order": order, "merge": Word("add")})
    parts = {f"r{i}": Record() for i in range(len(op.order))}
    module = Routed(op.order, "add", built, (), parts)
    x = torch.arange(1.0, grid[0] * grid[1] + 1)[None, :, None]
    y = module(Stream(x, grid)).x
    assert torch.equal(y, x * len(parts)), "every route is put back in place"
    return [(part.seen[0, :, 0] - 1).int().tolist() for part in parts.values()]


def test_every_published_order_is_compared() -> None:
    facts_of_the_file = {"plain.direction", "plain.o2_is_reversed_o1", "plain.o4_is_reversed_o3"}
    for lists in SIZES.values():
        known = {key for key in lists if not key.endswith("not_the_inverse")}
        assert known == PUBLISHED.keys() | {"plain.inverse"} | facts_of_the_file


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", PUBLISHED)
def test_orders_are_the_published_ones(key: str, size: str) -> None:
    grid, words, expected = grid_of(size), PUBLISHED[key], published(size, key)
    routes = RoutedOp.model_validate({"order": words}).order
    found = [permutation(o.path, o.size, grid)[:: -1 if o.reverse else 1] for o in routes]
    assert [list(f) for f in found] == expected
    assert visited(words, grid, built=grid) == expected
    assert visited(words, grid, built=(2, 2)) == expected, "on a grid that comes at run time"
    assert visited(words[0] if len(words) == 1 else words, grid, built=(7, 5)) == expected


@pytest.mark.parametrize("size", SIZES)
def test_the_way_back_is_the_published_inverse(size: str) -> None:
    grid = grid_of(size)
    for word, inverse in zip(PUBLISHED["plain.order"], published(size, "plain.inverse"), strict=True):
        order = RoutedOp.model_validate({"order": word}).order[0]
        places = torch.arange(float(len(inverse)))[None, :, None]
        module = Routed((order,), "add", grid, (), {"r": Replace(places)})
        y = module(Stream(torch.zeros(1, len(inverse), 1), grid)).x
        assert y.flatten().int().tolist() == inverse


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["v", "v_flip"])
def test_the_way_back_from_columns_holds_on_any_map(name: str, size: str) -> None:
    """The published code's does on square maps only; the fixture has what it does elsewhere."""
    expected = list(range(grid_of(size)[0] * grid_of(size)[1]))
    theirs = SIZES[size].get(f"local.{name}__official_reverse_is_not_the_inverse", expected)
    assert (theirs == expected) == (grid_of(size)[0] == grid_of(size)[1])
    there = torch.tensor(published(size, f"local.{name}")[0])
    order = RoutedOp.model_validate({"order": order_of(name)}).order[0]
    module = Routed((order,), "add", (2, 2), (), {"r": Replace(there[None, :, None])})
    y = module(Stream(torch.zeros(1, len(there), 1), grid_of(size))).x
    assert y.flatten().int().tolist() == expected


PATHS = ["rows", "columns", "snake", "snake_columns", "local", "local_columns"]


@settings(deadline=None)
@given(
    path=st.sampled_from(PATHS),
    size=st.integers(1, 9),
    grid=st.tuples(st.integers(1, 7), st.integers(1, 7)),
)
def test_orders_agree_with_their_description(path: str, size: int, grid: tuple[int, int]) -> None:
    size = size if path.startswith("local") else 0
    order, x = Order(path, size=size), torch.arange(1.0, grid[0] * grid[1] + 1)[None, :, None]
    record = Record()
    y = Routed((order,), "mean", (1, 1), (), {"r": record})(Stream(x, grid)).x
    seen = permutation(path, size, grid)
    assert tuple((record.seen[0, :, 0] - 1).int().tolist()) == seen
    assert sorted(i for i in seen if i >= 0) == list(range(grid[0] * grid[1]))
    assert torch.equal(y, x)
    op = RoutedOp(order=(order,))
    sizes = []
    op.infer(Feature(1, grid), lambda f: sizes.append(f.tokens) or f)
    assert sizes == [len(seen)], "the shape rule counts the zero slots"


@pytest.mark.parametrize("built", [(3, 3), (4, 2)])
def test_extra_tokens_have_slots_among_the_zero_slots_too(built: tuple[int, int]) -> None:
    record = Record()
    order = Order("local", reverse=True, size=2)
    module = Routed((order,), "mean", built, EXTRAS, {"r": record})
    # patches 1 ... 9, registers 10, 11, 12, class token 20
    x = torch.tensor([20.0, 1, 2, 10, 3, 4, 11, 5, 6, 12, 7, 8, 9])[None, :, None]
    assert torch.equal(module(Stream(x, (3, 3), EXTRAS)).x, x)
    expected = [20, 1, 2, 4, 5, 10, 3, 0, 6, 0, 11, 7, 8, 0, 0, 12, 9, 0, 0, 0]
    assert record.seen.flatten().int().tolist() == expected[::-1]


def test_zero_slots_are_real_steps() -> None:
    """A scan's state decays there, whether they stand before a token or between two."""
    torch.manual_seed(0)
    node = scan_routes(Feature(4, (3, 3)), Word("local", (2,)))
    module = module_of(node)
    (scan,) = module.children()
    assert node.parts[0].input.tokens == 16
    x = torch.randn(2, 9, 4)
    seen = torch.tensor(permutation("local", 2, (3, 3)))
    padded = torch.cat([x, torch.zeros(2, 1, 4)], dim=1)[:, seen]
    steps = scan(padded)
    y = module(Stream(x, (3, 3))).x
    for place, patch in enumerate(seen.tolist()):
        if patch >= 0:
            torch.testing.assert_close(y[:, patch], steps[:, place])
    skipped = scan(padded[:, seen >= 0])[:, -1]
    assert not torch.allclose(y[:, 8], skipped), "leaving them out is another function"


def test_zero_slots_are_of_their_neighbours_regions() -> None:
    """So that nothing gets from one region to another through them."""
    torch.manual_seed(0)
    inner = lambda f: make_node(Chain(), f, [lambda g: make_node(Attention(heads=2), g)] * 2)  # noqa: E731
    op = RoutedOp.model_validate({"order": Word("local", (2,))})
    module = module_of(make_node(op, Feature(4, (3, 3)), [inner]))
    regions = torch.tensor([[0, 0, 1, 0, 0, 1, 2, 2, 3]])
    x = torch.randn(1, 9, 4)
    other = torch.where(regions[..., None] == 1, torch.randn(1, 9, 4), x)
    ys = [module(Stream(tokens, (3, 3), (), regions)).x for tokens in (x, other)]
    changed = (ys[0] != ys[1]).any(-1)
    assert torch.equal(changed, regions == 1)


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
    assert total_macs([node]).scan * 9 == (3 * 9 + 16) * total_macs([one]).scan, "local has zero slots"
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
    module = module_of(
        scan_routes(
            Feature(4, (3, 3), EXTRAS), (Word("cross"), Word("local", (2,)), Word("local", (2, COLUMNS)))
        )
    )
    x = torch.randn(2, grid[0] * grid[1] + 4, 4)
    compiled = torch.compile(lambda t: module(Stream(t, grid, EXTRAS)).x, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), module(Stream(x, grid, EXTRAS)).x)


def test_indices_survive_a_build_on_the_meta_device() -> None:
    node = scan_routes(Feature(4, (3, 3), EXTRAS), (Word("cross"), Word("local", (2,))))
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


def test_zero_slots_need_their_places_back() -> None:
    op = RoutedOp.model_validate({"order": Word("local", (2,)), "restore": False})
    build = [lambda f: make_node(Linear(), f)]
    with pytest.raises(ShapeError, match="zero slots") as error:
        make_node(op, Feature(4, (3, 4)), build)
    assert (error.value.code, error.value.parameter) == ("E302", "restore")
    module = module_of(make_node(op, Feature(4, (4, 4)), build))
    with pytest.raises(ValueError, match=r"local\(2\) have to divide a map of 4 x 3"):
        module(Stream(torch.randn(1, 12, 4), (4, 3)))


def test_results_may_stay_in_the_order_of_their_routes() -> None:
    order = (Order(), Order("rows", reverse=True), Order("columns"), Order("columns", reverse=True))
    parts = {f"r{i}": Record() for i in range(4)}
    x = torch.arange(6.0)
    for built in ((2, 3), (1, 1)):
        module = Routed(order, "add", built, (), parts, restore=False)
        y = module(Stream(x[None, :, None], (2, 3))).x.flatten()
        columns = x[[0, 3, 1, 4, 2, 5]]
        assert torch.equal(y, x + x.flip(0) + columns + columns.flip(0))
