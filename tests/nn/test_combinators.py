"""Combinators: what their parts receive, and how the results come together."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from archdsl.compiler.modules import module_of
from archdsl.features import Feature
from archdsl.graph.node import Build, Node, make_node, total_params
from archdsl.nn.stream import Stream, run
from archdsl.ops import ShapeError, find

X = Feature(8, (3, 4))


def node(name: str, x: Feature, *builds: Build, **options: object) -> Node:
    op = find(name)
    assert op is not None
    return make_node(op.model_validate(options), x, builds)


def linear(out: int | str = "same") -> Build:
    return lambda f: node("linear", f, out=out)


def conv(**options: object) -> Build:
    return lambda f: node("conv2d", f, kernel=3, **options)


def act(f: Feature) -> Node:
    return node("silu", f)


def tokens(x: Feature = X) -> Tensor:
    return torch.randn(2, x.tokens, x.dim, generator=torch.Generator().manual_seed(0))


def result(placed: Node) -> tuple[nn.Module, Tensor]:
    module = module_of(placed)
    return module, run(module, Stream(tokens(placed.input), placed.input.grid)).x


@pytest.mark.parametrize("merge", ["multiply", "add", "mean", "concat"])
def test_split(merge: str) -> None:
    placed = node("split", X, linear(), act, merge=merge)
    assert placed.names() == ("linear", "silu")
    module, y = result(placed)
    a, b = module.linear(tokens()[..., :4]), nn.functional.silu(tokens()[..., 4:])
    expected = {"multiply": a * b, "add": a + b, "mean": (a + b) / 2, "concat": torch.cat([a, b], -1)}
    torch.testing.assert_close(y, expected[merge])
    assert y.shape[-1] == placed.output.dim == (8 if merge == "concat" else 4)


def test_branches_receive_copies() -> None:
    placed = node("branches", X, linear(3), linear(3), merge="add")
    assert placed.names() == ("linear", "linear_2")
    module, y = result(placed)
    torch.testing.assert_close(y, module.linear(tokens()) + module.linear_2(tokens()))


def test_concatenated_branches_may_differ_in_width_and_change_the_map() -> None:
    placed = node("branches", X, conv(out=3, stride=2), conv(out=5, stride=2), merge="concat")
    assert placed.output == Feature(8, (2, 2))
    module = module_of(placed)
    y = run(module, Stream(tokens(), X.grid))
    assert y.grid == (2, 2)
    assert y.x.shape == (2, 4, 8)


@pytest.mark.parametrize(
    ("name", "x", "parts", "merge", "code"),
    [
        ("split", replace(X, dim=9), (act, act), "add", "E306"),
        ("split", X, (act, linear(3)), "multiply", "E301"),
        ("branches", X, (act, conv(stride=2)), "concat", "E301"),
        ("branches", X, (linear(600_000), linear(600_000)), "concat", "E310"),
        ("branches", X, (), "add", "E301"),
        ("split", X, (), "add", "E306"),
    ],
)
def test_branches_that_do_not_fit(
    name: str, x: Feature, parts: tuple[Build, ...], merge: str, code: str
) -> None:
    with pytest.raises(ShapeError) as error:
        node(name, x, *parts, merge=merge)
    assert error.value.code == code


def test_partial_works_on_the_last_channels() -> None:
    placed = node("partial", X, linear(), channels=Fraction(11, 2))
    module, y = result(placed)
    assert torch.equal(y[..., :3], tokens()[..., :3])
    torch.testing.assert_close(y[..., 3:], module.linear(tokens()[..., 3:]))


def test_partial_on_all_channels() -> None:
    module, y = result(node("partial", X, linear(), channels=8))
    torch.testing.assert_close(y, module.linear(tokens()))


@pytest.mark.parametrize(
    ("part", "channels", "code"),
    [(act, 9, "E306"), (linear(5), 4, "E307"), (conv(stride=2), 4, "E307")],
)
def test_partial_that_does_not_fit(part: Build, channels: int, code: str) -> None:
    with pytest.raises(ShapeError) as error:
        node("partial", X, part, channels=channels)
    assert error.value.code == code


def test_mlp() -> None:
    placed = node("mlp", X, act, ratio=Fraction(8, 3))
    module, y = result(placed)
    assert module.fc1.out_features == 21
    assert list(dict(module.named_children())) == ["fc1", "act", "fc2"]
    torch.testing.assert_close(y, module.fc2(nn.functional.silu(module.fc1(tokens()))))


@pytest.mark.parametrize(("ratio", "dim", "hidden"), [("0.29", 100, 29), ("8/3", 768, 2048), ("4", 6, 24)])
def test_the_width_of_an_mlp_is_exact(ratio: str, dim: int, hidden: int) -> None:
    placed = node("mlp", Feature(dim, (2,)), act, ratio=Fraction(ratio))
    assert placed.op.arguments(placed.input, placed.output)["hidden"] == hidden


def test_an_activation_keeps_the_width() -> None:
    with pytest.raises(ShapeError) as error:
        node("mlp", X, linear(3))
    assert error.value.code == "E307"


def test_shared_weights_serve_every_route() -> None:
    def shared(f: Feature) -> Node:
        return replace(node("shared", f, linear()), share="routed.shared")

    placed = node("routed", X, shared, order="both")
    module, y = result(placed)
    assert total_params([placed]) == sum(p.numel() for p in module.parameters()) == 8 * 8 + 8
    torch.testing.assert_close(y, nn.functional.linear(tokens(), *module.parameters()))


def test_the_same_module_twice_in_a_chain_runs_twice() -> None:
    def shared(f: Feature) -> Node:
        return replace(node("shared", f, linear()), share="twice")

    module, y = result(node("chain", X, shared, shared))
    once = nn.functional.linear(tokens(), *module.parameters())
    torch.testing.assert_close(y, nn.functional.linear(once, *module.parameters()))


@pytest.mark.parametrize("name", ["half", "forward", "parts", "training", "type", "merge", "channels"])
@pytest.mark.parametrize("combinator", ["residual", "split", "branches", "partial", "shared", "chain"])
def test_a_part_may_have_any_name(combinator: str, name: str) -> None:
    options = {"split": {"merge": "add"}, "branches": {"merge": "add"}, "partial": {"channels": 8}}
    placed = node(
        combinator, X, lambda f: replace(node("linear", f), name=name), **options.get(combinator, {})
    )
    module, y = result(placed)
    expected = nn.functional.linear(tokens(), *module.parameters())
    torch.testing.assert_close(y, expected + tokens() if combinator == "residual" else expected)
