"""Windows: how a map is cut and put together, padding, shifts and extra tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from torchvision.models.swin_transformer import shifted_window_attention

from archdsl.compiler.modules import module_of
from archdsl.features import Extra, Feature
from archdsl.graph.node import Node, make_node, total_macs, total_params
from archdsl.nn.stream import Stream, from_map
from archdsl.nn.windowed import Windows
from archdsl.ops import Infer, Op, ShapeError
from archdsl.ops.attention import Attention
from archdsl.ops.linear import Linear
from archdsl.ops.registers import Registers
from archdsl.ops.take import Take
from archdsl.ops.windowed import Windowed

GOLDENS = Path(__file__).parents[1] / "data" / "goldens" / "mambavision"


def windowed_attention(x: Feature, **options: object) -> Node:
    heads = Attention.model_validate({"heads": 2, "position": options.pop("position", None)})
    return make_node(Windowed.model_validate(options), x, [lambda f: make_node(heads, f)])


def test_windows_lie_as_in_mambavision() -> None:
    golden = load_file(GOLDENS / "unit_mv_window.safetensors")
    s = from_map(golden["golden.input"])
    windows = Windows((4, 4))
    inside, undo = windows.enter(s)
    assert torch.equal(inside.x, golden["golden.windows"])
    assert inside.grid == (4, 4)
    back = windows.leave(inside, undo)
    assert torch.equal(back.x, s.x)
    assert back.grid == (8, 12)


@settings(deadline=None)
@given(
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    window=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    data=st.data(),
)
def test_leaving_undoes_entering(grid: tuple[int, int], window: tuple[int, int], data: st.DataObject) -> None:
    shift = data.draw(st.integers(0, min(window) - 1))
    extras = data.draw(
        st.sampled_from([(), (Extra("registers", 2, "even"), Extra("class_token", 1, "start"))])
    )
    how = data.draw(st.sampled_from(["past", "copy"]))
    tokens = grid[0] * grid[1] + sum(e.count for e in extras)
    s = Stream(torch.arange(2.0 * tokens).reshape(2, tokens, 1), grid, extras)
    windows = Windows(window, shift, pad=True, extras=how)
    inside, undo = windows.enter(s)
    feature = Windowed(window=window, shift=shift, pad=True, extras=how).inside(Feature(1, grid, extras))
    assert inside.x.shape == (2 * feature.windows, feature.tokens, 1)
    assert (inside.grid, inside.extras) == (feature.grid, feature.extras)
    back = windows.leave(inside, undo)
    assert torch.equal(back.x, s.x)
    assert back[1:] == s[1:]


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(8, 12), (7, 10), (3, 9), (3, 3)])
def test_agrees_with_torchvisions_shifted_window_attention(size: tuple[int, int], shift: int) -> None:
    node = windowed_attention(Feature(8, size), window=4, shift=shift, pad=True, position="relative")
    module = module_of(node)
    attention = module.get_submodule("attention")
    assert isinstance(attention.relative_position, nn.Parameter)
    x = torch.randn(2, *size, 8)
    height, width = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    places = torch.stack([height.flatten(), width.flatten()], 1)
    offsets = places[:, None] - places[None] + 3
    bias = attention.relative_position.detach()[offsets[..., 0] * 7 + offsets[..., 1]].permute(2, 0, 1)[None]
    expected = shifted_window_attention(
        x,
        attention.qkv.weight,
        attention.proj.weight,
        bias,
        [4, 4],
        2,
        [shift, shift],
        qkv_bias=attention.qkv.bias,
        proj_bias=attention.proj.bias,
    )
    y = module(Stream(x.flatten(1, 2), size)).x.unflatten(1, size)
    torch.testing.assert_close(y, expected)


def test_padding_takes_part() -> None:
    """Zeros stand right and below, and what stands inside sees them: MambaVision masks nothing."""
    seen: list[torch.Tensor] = []

    class Watch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x

    image = torch.randn(1, 3, 3, 5)
    inside, _ = Windows((2, 4), pad=True).enter(from_map(image))
    Watch()(inside.x)
    padded = functional.pad(image, (0, 3, 0, 1))
    assert torch.equal(seen[0][1], padded[0, :, :2, 4:].flatten(1).T)
    assert len(seen[0]) == 4


def test_one_window_copies_nothing() -> None:
    s = Stream(torch.randn(2, 16, 3), (4, 4))
    inside, _ = Windows((4, 4), shift=1).enter(s)
    assert inside.x.data_ptr() == s.x.data_ptr()
    assert inside.regions is None


@pytest.mark.parametrize("how", ["past", "copy"])
def test_extra_tokens(how: str) -> None:
    extras = (Extra("registers", 3, "even"),)
    x = Feature(8, (4, 8), extras)
    node = windowed_attention(x, window=4, shift=2, extras=how)
    module = module_of(node)
    s = Stream(torch.randn(2, 35, 8, requires_grad=True), (4, 8), extras)
    y = module(s)
    assert y.grid == s.grid
    assert y.extras == extras
    before, after = s.take_apart()[1][0], y.take_apart()[1][0]
    assert torch.equal(before, after) == (how == "past")
    y.take_apart()[0].sum().backward()
    assert s.x.grad is not None
    reached = Stream(s.x.grad, (4, 8), extras).take_apart()[1][0].abs().sum() > 0
    assert bool(reached) == (how == "copy")


def test_waiting_tokens_follow_a_change_of_width() -> None:
    x = Feature(6, (4, 4), (Extra("class_token", 1, "start"),))
    node = make_node(Windowed(window=(2, 2)), x, [lambda f: make_node(Linear(out=10), f)])
    module = module_of(node)
    assert node.output == Feature(10, (4, 4), x.extras)
    assert sum(p.numel() for p in module.parameters()) == total_params([node]) == 2 * 70
    assert total_macs([node]).linear == 60 * 16 + 60
    assert module(Stream(torch.randn(1, 17, 6), (4, 4), x.extras)).x.shape == (1, 17, 10)


@pytest.mark.parametrize("name", ["inner", "windows", "window", "norm"])
def test_parts_may_have_any_name(name: str) -> None:
    node = make_node(
        Windowed(window=(2, 2)), Feature(6, (4, 4)), [lambda f: make_node(Linear(), f, name=name)]
    )
    assert [k for k, _ in module_of(node).named_parameters()] == [f"{name}.weight", f"{name}.bias"]


def test_windows_inside_shifted_windows_keep_regions_apart() -> None:
    outer, inner = Windows((4, 4), shift=2), Windows((2, 2), shift=1)
    s, _ = outer.enter(Stream(torch.randn(2, 64, 3), (8, 8)))
    inside, _ = inner.enter(s)
    assert s.regions is not None
    assert inside.regions is not None
    assert s.regions.shape == (4, 16)
    assert inside.regions.shape == (16, 4)
    coarse = inner.enter(s.with_x(s.regions.repeat(2, 1)[..., None]))[0].x[:16, :, 0]
    together = inside.regions[:, :, None] == inside.regions[:, None]
    assert bool((coarse[:, :, None] == coarse[:, None])[together].all())


def test_another_grid_at_run_time() -> None:
    module = module_of(windowed_attention(Feature(8, (8, 8)), window=4))
    assert module(Stream(torch.randn(1, 32, 8), (4, 8))).x.shape == (1, 32, 8)
    with pytest.raises(ValueError, match="windows of 4 x 4 do not divide a map of 6 x 8"):
        module(Stream(torch.randn(1, 48, 8), (6, 8)))


@pytest.mark.parametrize(
    ("grid", "options", "code", "text"),
    [
        ((14, 14), {"window": 12}, "E302", "use 7 or 14, or pad = on"),
        ((14, 14), {"window": [7, 4]}, "E302", "4 does not divide 14"),
        ((13, 7), {"window": 5}, "E302", "use pad = on"),
        ((14, 14), {"window": 7, "shift": 7}, "E310", "use 3, half a window"),
        ((9,), {"window": 3}, "E304", "a window needs a map"),
    ],
)
def test_refuses_what_does_not_fit(
    grid: tuple[int, ...], options: dict[str, object], code: str, text: str
) -> None:
    with pytest.raises(ShapeError) as error:
        windowed_attention(Feature(8, grid), **options)
    assert error.value.code == code
    assert text in (error.value.message, error.value.label, error.value.help)


def test_refuses_a_change_of_size_inside() -> None:
    class Flatten(Op):
        def infer(self, x: Feature, *parts: Infer) -> Feature:
            return Feature(x.dim, (x.tokens,), windows=x.windows)

    with pytest.raises(ShapeError) as error:
        make_node(
            Windowed(window=(2, 2)), Feature(8, (4, 4)), [lambda f: make_node(Flatten(), f, name="flatten")]
        )
    assert error.value.code == "E307"


@pytest.mark.parametrize("value", [True, None, (1, 2, 3), "seven", 0])
def test_refuses_what_is_no_window(value: object) -> None:
    with pytest.raises(ValueError, match="window"):
        Windowed.model_validate({"window": value})


def test_compiles_with_a_shift() -> None:
    x = Feature(8, (8, 8), (Extra("registers", 2, "even"),))
    module = module_of(windowed_attention(x, window=4, shift=2, extras="copy", position="relative"))
    compiled = torch.compile(
        lambda t: module(Stream(t, x.grid, x.extras)).x, fullgraph=True, backend="aot_eager"
    )
    t = torch.randn(2, 66, 8)
    torch.testing.assert_close(compiled(t), module(Stream(t, x.grid, x.extras)).x)


@pytest.mark.parametrize("extras", [(), (Extra("registers", 3, "even"),)])
@pytest.mark.parametrize("how", ["past", "copy"])
@pytest.mark.parametrize(("line", "sides"), [("row", (1, 5)), ("column", (3, 1))])
def test_every_row_or_column_is_a_window(
    line: str, sides: tuple[int, int], how: str, extras: tuple[Extra, ...]
) -> None:
    x = Feature(2, (3, 5), extras)
    op = Windowed(window=line, extras=how)
    inside = op.inside(x)
    assert (inside.grid, inside.windows) == (sides, 15 // max(sides))
    windows = Windows(line, extras=how)
    tokens = torch.arange(2.0 * x.tokens).reshape(1, -1, 2)
    cut, undo = windows.enter(Stream(tokens, x.grid, extras))
    assert cut.grid == sides
    places = cut.take_apart()[0]
    image = Stream(tokens, x.grid, extras).take_apart()[0].reshape(3, 5, 2)
    assert torch.equal(places, image if line == "row" else image.transpose(0, 1))
    assert torch.equal(windows.leave(cut, undo).x, tokens)


@pytest.mark.parametrize("line", ["row", "column"])
def test_rows_and_columns_are_as_long_as_the_map_that_comes(line: str) -> None:
    x = Feature(8, (3, 5))
    module = module_of(windowed_attention(x, window=line)).eval()
    image = torch.randn(1, 8, 4, 7)
    turned = image.transpose(2, 3)
    other = module_of(windowed_attention(x, window="column" if line == "row" else "row")).eval()
    other.load_state_dict(module.state_dict())
    with torch.no_grad():
        y = module(from_map(image)).to_map()
        torch.testing.assert_close(other(from_map(turned)).to_map().transpose(2, 3), y)
        changed = image.clone()
        changed[..., 0, 0] += 1
        moved = (module(from_map(changed)).to_map() != y).any(1)[0]
    seen = torch.zeros(4, 7, dtype=torch.bool)
    if line == "row":
        seen[0] = True
    else:
        seen[:, 0] = True
    assert torch.equal(moved, seen)


def test_a_row_is_not_shifted() -> None:
    with pytest.raises(ShapeError, match="a row cannot be shifted") as error:
        windowed_attention(Feature(8, (4, 4)), window="row", shift=1)
    assert (error.value.code, error.value.parameter) == ("E310", "shift")


@pytest.mark.parametrize("value", ["rows", True, None])
def test_what_is_no_window(value: object) -> None:
    with pytest.raises(ValueError, match=r"expected a number, \[height, width\], row or column, found"):
        Windowed.model_validate({"window": value})


def test_regions_of_shifted_windows_stay_with_the_patches() -> None:
    regions = torch.tensor([[0, 0, 1, 1], [2, 2, 3, 3]])
    s = Stream(torch.randn(2, 4, 8), (2, 2), (), regions)
    x = Feature(8, (2, 2), windows=2)
    added = make_node(Registers(n=1, at="middle"), x)
    more = module_of(added)(s)
    assert more.regions is not None
    assert more.regions.tolist() == [[0, 0, -1, 1, 1], [2, 2, -1, 3, 3]]
    back = module_of(make_node(Take(what="patches"), added.output))(more)
    assert back.regions is not None
    assert torch.equal(back.regions, regions)
    assert torch.equal(back.x, s.x)
