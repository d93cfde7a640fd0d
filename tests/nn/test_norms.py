"""Norms, activations and the small operators on single tokens, against plain torch."""

from __future__ import annotations

import pytest
import torch
from timm.layers import DropPath
from torch import Tensor, nn

from archdsl.compiler.modules import module_of
from archdsl.features import Feature
from archdsl.graph.node import make_node
from archdsl.nn.stream import Stream, run
from archdsl.ops import Op, find


def module(name: str, x: Feature, **options: object) -> nn.Module:
    op = find(name)
    assert op is not None
    return module_of(make_node(op.model_validate(options), x))


def tokens(x: Feature, batch: int = 2) -> Tensor:
    return torch.randn(batch, x.tokens, x.dim, generator=torch.Generator().manual_seed(0)) * 3 + 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rms_norm_is_its_formula(dtype: torch.dtype) -> None:
    x = Feature(40, (3, 5))
    norm = module("rms_norm", x, eps=0.1)
    nn.init.normal_(norm.weight)
    norm.to(dtype)
    given = tokens(x).to(dtype)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    wide = given.to(exact)
    expected = wide / (wide.square().mean(-1, keepdim=True) + 0.1).sqrt() * norm.weight.to(exact)
    close = torch.testing.assert_close
    if dtype == torch.bfloat16:
        assert (norm(given) != expected.bfloat16()).float().mean() < 0.01
        close(norm(given), expected.bfloat16(), rtol=2**-7, atol=0)
    else:
        close(norm(given), expected)
    assert norm(given).dtype == dtype


def test_rms_norm_takes_half_precision_beside_float32_weights() -> None:
    x = Feature(8, (4,))
    given = tokens(x).bfloat16()
    norm = module("rms_norm", x)
    torch.testing.assert_close(norm(given), norm(given.float()).bfloat16(), rtol=0, atol=0)


def test_layer_norm_is_its_formula() -> None:
    x = Feature(12, (4,))
    given = tokens(x)
    expected = (given - given.mean(-1, keepdim=True)) / (
        given.var(-1, keepdim=True, correction=0) + 1e-3
    ).sqrt()
    torch.testing.assert_close(module("layer_norm", x, eps=1e-3)(given), expected)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_is_that_of_maps(training: bool) -> None:
    x = Feature(6, (3, 5))
    ours, theirs = module("batch_norm", x, eps=1e-4), nn.BatchNorm2d(6, eps=1e-4)
    theirs.weight.data.uniform_()
    ours.load_state_dict(theirs.state_dict())
    ours.train(training)
    theirs.train(training)
    for _ in range(2):
        given = tokens(x)
        image = given.unflatten(1, (3, 5)).permute(0, 3, 1, 2)
        torch.testing.assert_close(ours(given), theirs(image).permute(0, 2, 3, 1).flatten(1, 2))
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("relu", {}, nn.functional.relu),
        ("silu", {}, nn.functional.silu),
        ("gelu", {}, nn.functional.gelu),
        ("gelu", {"approximate": None}, nn.functional.gelu),
        ("gelu", {"approximate": "tanh"}, lambda x: nn.functional.gelu(x, approximate="tanh")),
    ],
)
def test_activations(name: str, options: dict[str, object], expected: object) -> None:
    x = Feature(4, (3,))
    assert callable(expected)
    torch.testing.assert_close(module(name, x, **options)(tokens(x)), expected(tokens(x)))


def test_drop_path_keeps_the_mean_and_drops_whole_images() -> None:
    x = Feature(4, (3,))
    drop = module("drop_path", x, rate=0.25)
    given = torch.ones(4000, 3, 4)
    dropped = drop(given).flatten(1)
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs(float(dropped.mean()) - 1) < 0.05
    assert torch.equal(drop.eval()(given), given)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drop_path_draws_what_timm_does(rate: float, dtype: torch.dtype) -> None:
    given = torch.randn(64, 3, 4, dtype=dtype)
    drops = (module("drop_path", Feature(4, (3,)), rate=rate), DropPath(rate))
    for training in (True, False):
        ours, theirs = (_drawn(drop.train(training), given) for drop in drops)
        assert torch.equal(ours, theirs)


def _drawn(drop: nn.Module, given: Tensor) -> Tensor:
    torch.manual_seed(3)
    drawn: Tensor = drop(given)
    return drawn


def drop_path(**options: object) -> Op:
    op = find("drop_path")
    assert op is not None
    return op.model_validate(options)


@pytest.mark.parametrize(
    ("options", "vanishes", "rate"),
    [
        ({}, True, 0),
        ({"rate": 0}, True, 0),
        ({"rate": 0, "drop_path": 0.3}, True, 0),
        ({"drop_path": 0.3}, False, 0.3),
        ({"rate": 0.1, "drop_path": 0.3}, False, 0.1),
    ],
)
def test_drop_path_prefers_what_is_written(options: dict[str, object], vanishes: bool, rate: float) -> None:
    x = Feature(4, (3,))
    assert drop_path(**options).vanishes(x) is vanishes
    assert drop_path(**options).arguments(x, x) == {"drop_prob": rate}


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"init": 1e-5}, 1e-5),
        ({"layer_scale": 0.1}, 0.1),
        ({"init": 1e-6, "layer_scale": 0.1}, 1e-6),
        ({"init": 0}, 0.0),
        ({}, None),
        ({"layer_scale": False}, None),
    ],
)
def test_layer_scale(options: dict[str, object], start: float | None) -> None:
    op = find("layer_scale")
    assert op is not None
    x = Feature(4, (3,))
    scale = op.model_validate(options)
    assert scale.vanishes(x) is (start is None)
    assert scale.resolved(x).vanishes(x) is (start is None)
    if start is not None:
        built = module("layer_scale", x, **options)
        torch.testing.assert_close(built(tokens(x)), tokens(x) * start)
        assert [name for name, _ in built.named_parameters()] == ["gamma"]


def test_layer_norm_without_weights() -> None:
    x = Feature(6, (5,))
    plain = module("layer_norm", x, affine=False, eps=1e-3)
    assert not list(plain.parameters())
    given = tokens(x)
    centred = given - given.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(plain(given), expected)


def test_layer_scale_is_no_flag() -> None:
    op = find("layer_scale")
    assert op is not None
    with pytest.raises(ValueError, match="expected a number or off, found on"):
        op.model_validate({"layer_scale": True})


def test_linear_on_tokens() -> None:
    x = Feature(4, (2, 3))
    linear = module("linear", x, out=5, bias=False)
    y = run(linear, Stream(tokens(x), x.grid)).x
    torch.testing.assert_close(y, tokens(x) @ linear.weight.T)
