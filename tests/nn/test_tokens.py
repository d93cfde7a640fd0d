"""Positions, registers, class tokens, and what takes them out again; Mamba-R's published positions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature, segments
from archdsl.graph.node import Build, Node, make_node
from archdsl.nn.position import Position
from archdsl.nn.stream import Stream, put_together, run
from archdsl.ops import ShapeError, find

GOLDENS = Path(__file__).parents[1] / "data" / "goldens" / "mamba_r_vim"
POSITIONS = json.loads((GOLDENS / "register_positions.json").read_text())


def node(name: str, x: Feature, *builds: Build, **options: object) -> Node:
    op = find(name)
    assert op is not None
    return make_node(op.model_validate(options), x, builds)


def built(name: str, x: Feature, **options: object) -> nn.Module:
    return module_of(node(name, x, **options))


def norm(f: Feature) -> Node:
    return node("rms_norm", f)


def counted(x: Feature, batch: int = 1) -> Stream:
    """A stream whose tokens hold their index in the sequence."""
    places = torch.arange(float(x.tokens))[None, :, None].expand(batch, -1, x.dim)
    return Stream(places, x.grid, x.extras)


def indices(x: Tensor) -> list[int]:
    return [int(i) for i in x[0, :, 0]]


@pytest.mark.parametrize("case", POSITIONS, ids=lambda c: f"{c['H']}x{c['W']}-{c['n']}")
def test_registers_stand_where_mamba_r_puts_them(case: dict[str, object]) -> None:
    h, w, n = case["H"], case["W"], case["n"]
    assert isinstance(h, int)
    assert isinstance(w, int)
    assert isinstance(n, int)
    x = Feature(1, (h, w))
    registers = built("registers", x, n=n)
    with torch.no_grad():
        registers.weight.copy_(torch.arange(h * w, h * w + n)[None, :, None])
    y = run(registers, counted(x))
    assert indices(y.x) == case["token_idx"]
    assert [i for i, token in enumerate(indices(y.x)) if token >= h * w] == case["positions"]
    taken = run(built("take", Feature(1, (h, w), y.extras), what="registers"), y)
    assert indices(taken.x) == list(range(h * w, h * w + n))


@pytest.mark.parametrize(
    ("at", "places"), [("start", [0]), ("middle", [98]), ("end", [196]), ("both", [0, 197])]
)
def test_class_tokens_stand_where_vim_puts_them(at: str, places: list[int]) -> None:
    x = Feature(1, (14, 14))
    token = built("class_token", x, at=at)
    nn.init.constant_(token.weight, -1)
    y = run(token, counted(x))
    assert [i for i, t in enumerate(indices(y.x)) if t < 0] == places


def test_positions_of_registers_are_added_to_them_alone() -> None:
    x = Feature(3, (2, 2))
    registers = built("registers", x, n=2, at="end", position="learned")
    y = run(registers, counted(x, batch=2)).x
    torch.testing.assert_close(y[:, :4], counted(x, batch=2).x)
    torch.testing.assert_close(y[:, 4:], (registers.weight + registers.position).expand(2, -1, -1))
    assert 0.005 < float(registers.weight.detach().std()) < 0.05


def test_registers_and_class_tokens_share_a_slot_in_the_order_written() -> None:
    x = Feature(1, (1, 4))
    y = make_both(x)
    assert [e.kind for e in y.output.extras] == ["class_token", "registers"]
    runs = segments(4, y.output.extras)
    assert [(r.extra, r.start, r.stop) for r in runs] == [(-1, 0, 2), (0, 0, 1), (1, 0, 2), (-1, 2, 4)]


def make_both(x: Feature) -> Node:
    first = node("class_token", x, at="middle")
    return node("registers", first.output, n=2, at="middle")


@pytest.mark.parametrize("at", ["start", "middle", "end", "even"])
@pytest.mark.parametrize("grid", [(3, 5), (1, 1), (7,)])
def test_taken_apart_and_put_together(at: str, grid: tuple[int, ...]) -> None:
    x = Feature(2, grid, (Extra("class_token", 2, "both"), Extra("registers", 4, at)))
    s = counted(x)
    patches, extras = s.take_apart()
    assert [e.shape[1] for e in extras] == [2, 4]
    assert torch.equal(put_together(patches, extras, grid, x.extras).x, s.x)


@pytest.mark.parametrize("name", ["registers", "class_token"])
def test_not_twice(name: str) -> None:
    x = make_both(Feature(1, (1, 4))).output
    with pytest.raises(ShapeError) as error:
        node(name, x, **({"n": 2} if name == "registers" else {}))
    assert error.value.code == "E305"


def test_no_registers_are_no_operator() -> None:
    op = find("registers")
    assert op is not None
    x = Feature(4, (2, 2))
    assert op.model_validate({"n": 0}).vanishes(x)
    assert node("registers", x, n=0).output == x


def test_positions_resize_as_in_mamba_r() -> None:
    golden = load_file(GOLDENS / "posembed_interp_8to14.safetensors")
    position = Position(24, (8, 8))
    position.load_state_dict({"weight": golden["pos_embed_old"]})
    torch.testing.assert_close(position.at((14, 14)), golden["pos_embed_new"], rtol=0, atol=1e-6)
    assert position.at((8, 8)) is position.weight


def test_positions_of_extras_stay_when_the_grid_changes() -> None:
    extras = (Extra("class_token", 1, "middle"),)
    position = Position(3, (2, 4), extras)
    resized = position.at((4, 6))
    assert resized.shape == (1, 25, 3)
    torch.testing.assert_close(resized[:, 12], position.weight[:, 4])
    alone = Position(3, (2, 4))
    alone.load_state_dict({"weight": torch.cat([position.weight[:, :4], position.weight[:, 5:]], 1)})
    expected = alone.at((4, 6))
    torch.testing.assert_close(torch.cat([resized[:, :12], resized[:, 13:]], 1), expected)


def test_positions_are_added_in_the_order_of_the_sequence() -> None:
    x = Feature(3, (2, 2), (Extra("class_token", 1, "middle"),))
    position = built("position", x, kind="learned")
    assert position.weight.shape == (1, 5, 3)
    torch.testing.assert_close(run(position, counted(x)).x, counted(x).x + position.weight)


def test_take() -> None:
    x = Feature(2, (2, 2), (Extra("class_token", 1, "start"), Extra("registers", 2, "end")))
    one = node("take", x, what="class_token")
    several = node("take", x, what="registers")
    patches = node("take", x, what="patches")
    assert one.output == Feature(2, ())
    assert several.output == Feature(2, (2,))
    assert patches.output == Feature(2, (2, 2))
    assert indices(run(module_of(one), counted(x)).x) == [0]
    assert indices(run(module_of(several), counted(x)).x) == [5, 6]
    assert indices(run(module_of(patches), counted(x)).x) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("what", "help"), [("registers", "add `-> registers(4)` to the stem"), ("class_token", "class_token")]
)
def test_nothing_to_take(what: str, help: str) -> None:
    with pytest.raises(ShapeError) as error:
        node("take", Feature(2, (2, 2)), what=what)
    assert (error.value.code, error.value.parameter) == ("E305", "what")
    assert help in error.value.help


def test_concat_puts_the_first_register_first() -> None:
    x = Feature(3, (2,))
    concat = node("concat", x, norm, reduce=1)
    assert concat.output == Feature(6, ())
    assert concat.parts == ()
    tokens = torch.randn(2, 2, 3)
    y = run(module_of(concat), Stream(tokens, (2,)))
    assert y.grid == ()
    assert torch.equal(y.x, tokens.flatten(1)[:, None])


def test_concat_narrows_with_one_linear_and_norms_the_whole() -> None:
    x = Feature(6, (3,))
    placed = node("concat", x, norm, reduce=2)
    concat = module_of(placed)
    assert sorted(dict(concat.named_parameters())) == ["neck.weight", "norm.weight"]
    tokens = torch.randn(2, 3, 6)
    joined = (tokens @ concat.neck.weight.T).flatten(1)
    expected = joined / (joined.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(run(concat, Stream(tokens, (3,))).x, expected[:, None])
    assert placed.output == Feature(9, ())


def test_concat_takes_a_single_token() -> None:
    assert node("concat", Feature(6, ()), norm, reduce=2).output == Feature(3, ())


@pytest.mark.parametrize(
    ("x", "reduce", "code"),
    [
        (Feature(6, (2,)), 4, "E306"),
        (Feature(6, (2,), (Extra("registers", 1, "even"),)), 1, "E304"),
        (Feature(100_000, (20,)), 1, "E310"),
    ],
)
def test_what_cannot_be_concatenated(x: Feature, reduce: int, code: str) -> None:
    with pytest.raises(ShapeError) as error:
        node("concat", x, norm, reduce=reduce)
    assert error.value.code == code


@pytest.mark.parametrize("kind", ["mean", "max"])
def test_pool_leaves_extras_out(kind: str) -> None:
    x = Feature(2, (2, 3), (Extra("registers", 2, "even"),))
    s = Stream(torch.randn(2, 8, 2), x.grid, x.extras)
    y = run(built("pool", x, kind=kind), s)
    patches = s.take_apart()[0]
    assert y.grid == ()
    assert y.extras == ()
    torch.testing.assert_close(y.x, patches.mean(1, True) if kind == "mean" else patches.amax(1, True))


def test_pool_of_a_vector_is_the_vector() -> None:
    s = Stream(torch.randn(2, 1, 4), ())
    assert torch.equal(run(built("pool", Feature(4, ()), kind="mean"), s).x, s.x)
