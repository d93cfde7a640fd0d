"""MILA at sizes that no fixture has: against a reference in float64, written from the paper's formulas.

The reference reads weights under the official keys, adds up every pair of tokens and pads as the published
dense-prediction variant does: the image to multiples of 4, odd maps by a row or a column before merging.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from goldens import read_state_dict
from torch import Tensor
from torch.nn import functional

import archdsl
from archdsl.weights import load_weights, to_layout

Weights = dict[str, Tensor]


def _linear(w: Weights, key: str, x: Tensor) -> Tensor:
    return x @ w[f"{key}.weight"].T + w.get(f"{key}.bias", torch.zeros((), dtype=torch.float64))


def _depthwise(w: Weights, key: str, x: Tensor) -> Tensor:
    """Of maps (B, H, W, C)."""
    weight = w[f"{key}.weight"]
    y = functional.conv2d(x.permute(0, 3, 1, 2), weight, w[f"{key}.bias"], padding=1, groups=len(weight))
    return y.permute(0, 2, 3, 1)


def _layer_norm(w: Weights, key: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / (variance + 1e-5).sqrt() * w[f"{key}.weight"] + w[f"{key}.bias"]


def _batch_norm(w: Weights, key: str, x: Tensor) -> Tensor:
    """Of maps (B, C, H, W), by the statistics."""
    scale = w[f"{key}.weight"] / (w[f"{key}.running_var"] + 1e-5).sqrt()
    shift = w[f"{key}.bias"] - w[f"{key}.running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def _conv_norm(w: Weights, key: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = w[f"{key}.conv.weight"]
    y = functional.conv2d(x, weight, w.get(f"{key}.conv.bias"), stride, padding=weight.shape[-1] // 2)
    return _batch_norm(w, f"{key}.norm", y)


def _padded(x: Tensor, multiple: int) -> Tensor:
    """Maps (B, C, H, W) with zeros at the bottom and the right."""
    height, width = x.shape[-2:]
    return functional.pad(x, (0, -width % multiple, 0, -height % multiple))


def _stem(w: Weights, images: Tensor) -> Tensor:
    x = _conv_norm(w, "patch_embed.conv1", _padded(images, 4), 2).relu()
    x = x + _conv_norm(w, "patch_embed.conv2.1", _conv_norm(w, "patch_embed.conv2.0", x).relu())
    x = _conv_norm(w, "patch_embed.conv3.0", x, 2).relu()
    return _conv_norm(w, "patch_embed.conv3.1", x)


def _rotated(x: Tensor) -> Tensor:
    """Pairs of channels of maps (B, H, W, C): the first half turned by the row, the second by the column."""
    _, height, width, dim = x.shape
    theta = 10_000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    rows = (torch.arange(height)[:, None] * theta)[:, None].expand(height, width, -1)
    columns = (torch.arange(width)[:, None] * theta)[None].expand(height, width, -1)
    angles = torch.cat([rows, columns], -1)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], dim // 2, 2).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def _attention(w: Weights, key: str, v: Tensor, heads: int) -> Tensor:
    """Weights of all pairs of tokens, the denominator from features that are not rotated."""
    batch, height, width, dim = v.shape

    def parted(x: Tensor) -> Tensor:
        return x.reshape(batch, height * width, heads, dim // heads).transpose(1, 2)

    q, k = (functional.elu(x) + 1 for x in _linear(w, f"{key}.qk", v).split(dim, -1))
    numerator = parted(_rotated(q)) @ parted(_rotated(k)).transpose(-1, -2)
    plain = parted(q) @ parted(k).transpose(-1, -2)
    weights = numerator / (plain.sum(-1, keepdim=True) + height * width * 1e-6)
    y = (weights @ parted(v)).transpose(1, 2).reshape(v.shape)
    return y + _depthwise(w, f"{key}.lepe", v)


def _block(w: Weights, key: str, x: Tensor, heads: int) -> Tensor:
    x = x + _depthwise(w, f"{key}.cpe1", x)
    u = _layer_norm(w, f"{key}.norm1", x)
    gate = functional.silu(_linear(w, f"{key}.act_proj", u))
    v = functional.silu(_depthwise(w, f"{key}.dwc", _linear(w, f"{key}.in_proj", u)))
    x = x + _linear(w, f"{key}.out_proj", _attention(w, f"{key}.attn", v, heads) * gate)
    x = x + _depthwise(w, f"{key}.cpe2", x)
    hidden = functional.gelu(_linear(w, f"{key}.mlp.fc1", _layer_norm(w, f"{key}.norm2", x)))
    return x + _linear(w, f"{key}.mlp.fc2", hidden)


def _merged(w: Weights, key: str, x: Tensor, fill: int) -> Tensor:
    x = _padded(x, fill)
    x = functional.conv2d(x, w[f"{key}.0.conv.weight"], w[f"{key}.0.conv.bias"]).relu()
    weight = w[f"{key}.1.conv.weight"]
    x = functional.conv2d(x, weight, w[f"{key}.1.conv.bias"], 2, 1, groups=len(weight)).relu()
    return _conv_norm(w, f"{key}.2", x)


def _reference(w: Weights, images: Tensor, heads: list[int], fill: int = 2) -> list[Tensor]:
    """The maps (B, C, H, W) behind every stage, and where the weights have a head the logits.

    `fill`: of what the sides of a map are made multiples before merging.
    """
    w = {key: tensor.double() for key, tensor in w.items()}
    x = _stem(w, images.double())
    found = []
    for stage, count in enumerate(heads):
        if stage:
            x = _merged(w, f"layers.{stage - 1}.downsample.conv", x, fill)
        x = x.permute(0, 2, 3, 1)
        for block in range(sum(key.startswith(f"layers.{stage}.") for key in w)):
            if f"layers.{stage}.blocks.{block}.norm1.weight" in w:
                x = _block(w, f"layers.{stage}.blocks.{block}", x, count)
        normed = _layer_norm(w, f"norm{stage}", x) if f"norm{stage}.weight" in w else x
        x = x.permute(0, 3, 1, 2)
        found.append(normed.permute(0, 3, 1, 2))
    if "head.weight" in w:
        tokens = _layer_norm(w, "norm", x.permute(0, 2, 3, 1)).flatten(1, 2)
        found.append(_linear(w, "head", tokens.mean(1)))
    return found


def test_the_reference_is_the_official_code() -> None:
    _, weights, stored = read_state_dict("mila", "mila_a_e16_h1248_64")
    *stages, logits = _reference(weights, stored["input"], [1, 2, 4, 8])
    assert (logits - stored["output"]).abs().max() < 1e-5
    for stage, found in enumerate(stages):
        expected = stored[f"feat.stage{stage}"]
        error = (found.flatten(2).transpose(1, 2) - expected).abs().max()
        assert error <= 2e-5 * expected.abs().max()
    _, weights, stored = read_state_dict("mila", "mila_dense_e12_nonsquare_64x96")
    for stage, found in enumerate(_reference(weights, stored["input"], [1, 3, 3, 6])):
        assert (found - stored[f"output.{stage}"]).abs().max() < 1e-4


SIZES = [(61, 83), (36, 100), (33, 66), (1, 5), (64, 64)]
"""61 x 83 becomes 64 x 84, and maps of 16 x 21, 8 x 11, 4 x 6 and 2 x 3."""


def _assert_same(model: archdsl.Model, weights: Weights, heads: list[int], size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = _reference(weights, images, heads)
    with torch.no_grad():
        found = model.forward_intermediates(images, intermediates_only=True)
        found += [model(images)] if model.num_classes else []
    sides = [-(-side // 4) for side in size]
    for ours, theirs in zip(found[:4], expected[:4], strict=True):
        assert ours.shape[-2:] == tuple(sides)
        sides = [-(-side // 2) for side in sides]
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[4:], expected[4:], rtol=1e-9, atol=1e-9)


def _assert_same_at_all_sizes(model: archdsl.Model, weights: Weights, heads: list[int]) -> None:
    load_weights(model, weights)
    model.double().eval()
    for size in SIZES:
        _assert_same(model, weights, heads, size)


@pytest.mark.parametrize("built_for", [64, (61, 83)])
def test_any_size(built_for: int | tuple[int, int]) -> None:
    """Nothing depends on the size that a model was built for."""
    _, weights, _ = read_state_dict("mila", "mila_a_e16_h1248_64")
    heads = [1, 2, 4, 8]
    model = archdsl.build(
        "mila", dim=16, depths=[1, 1, 2, 1], heads=heads, mlp_ratio=2, classes=10, image=built_for
    )
    _assert_same_at_all_sizes(model, weights, heads)


def test_any_size_for_dense_prediction() -> None:
    _, weights, _ = read_state_dict("mila", "mila_dense_e12_nonsquare_64x96")
    heads = [1, 3, 3, 6]
    overrides = {"head": None, "feature_norm": "layer_norm"}
    model = archdsl.build(
        "mila", dim=12, depths=[1, 1, 1, 1], heads=heads, mlp_ratio=2, image=64, overrides=overrides
    )
    _assert_same_at_all_sizes(model, weights, heads)


def test_a_classifier_that_pads_nothing() -> None:
    """As the published one, at a size that it must have been built for: maps of 9, 5, 3 and 2."""
    _, weights, _ = read_state_dict("mila", "mila_a_e16_h1248_64")
    heads = [1, 2, 4, 8]
    options: dict[str, Any] = {"dim": 16, "depths": [1, 1, 2, 1], "heads": heads, "mlp_ratio": 2}
    plain = archdsl.build(
        "mila", classes=10, image=36, overrides={"downsample": "merge(fill = none)"}, **options
    )
    padded = archdsl.build("mila", classes=10, image=36, **options)
    images = torch.randn(1, 3, 36, 36, dtype=torch.float64)
    expected = _reference(weights, images, heads, fill=1)[-1]
    for model in (plain, padded):
        load_weights(model, weights)
        model.double().eval()
    with torch.no_grad():
        torch.testing.assert_close(plain(images), expected, rtol=1e-9, atol=1e-9)
        assert (padded(images) - expected).abs().max() > 1e-3


def test_the_shape_rule_knows_the_sizes() -> None:
    architecture = archdsl.load("mila", image=(61, 83))
    assert [stage.feature.grid for stage in architecture.stages] == [(16, 21), (8, 11), (4, 6), (2, 3)]


def test_the_layout_is_the_official_one() -> None:
    """All keys and shapes of the published model, its rotations apart."""
    model = archdsl.build("mila_t", device="meta")
    keys = to_layout(model, "mila")
    assert sum(t.numel() for k, t in keys.items() if "running" not in k and "tracked" not in k) == 24_392_200
    assert tuple(keys["layers.2.downsample.conv.1.conv.weight"].shape) == (2048, 1, 3, 3)
    assert tuple(keys["layers.3.blocks.3.in_proj.weight"].shape) == (512, 512)
    assert tuple(keys["layers.3.blocks.3.attn.qk.weight"].shape) == (1024, 512)
