"""VMamba's variants against plain loops in float64, from the official keys: step by step, place by place.

Scans along rows one way and both ways, in cascade, with and without a gate; patch merging on odd maps.
"""

from __future__ import annotations

from math import erf
from typing import Any

import numpy as np
import pytest
import torch

import archdsl
from archdsl.compiler import Model
from archdsl.weights import load_weights, to_layout

Array = np.ndarray[Any, np.dtype[np.float64]]
Weights = dict[str, Array]

COMMON: dict[str, Any] = {
    "dim": 6,
    "depths": (1, 1, 2, 1),
    "classes": 4,
    "image": (28, 20),
}


def _layer_norm(x: Array, weight: Array | float = 1.0, bias: Array | float = 0.0) -> Array:
    """Over the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    normed: Array = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias
    return normed


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def _gelu(x: Array) -> Array:
    return np.vectorize(lambda v: v * 0.5 * (1 + erf(v / 2**0.5)))(x)


def _scan(u: Array, w: Weights, op: str, k: int) -> Array:
    """Direction k along a sequence (L, D)."""
    channels = u.shape[1]
    a = -np.exp(w[f"{op}.A_logs"][k * channels : (k + 1) * channels])
    skip = w[f"{op}.Ds"][k * channels : (k + 1) * channels]
    states, rank = a.shape[1], w[f"{op}.dt_projs_weight"].shape[2]
    h = np.zeros((channels, states))
    y = np.zeros_like(u)
    for p, x in enumerate(u):
        made = w[f"{op}.x_proj_weight"][k] @ x
        b, c = made[rank : rank + states], made[rank + states :]
        raw = w[f"{op}.dt_projs_weight"][k] @ made[:rank] + w[f"{op}.dt_projs_bias"][k]
        dt = np.log1p(np.exp(raw))[:, None]
        h = np.exp(dt * a) * h + dt * b * x[:, None]
        y[p] = h @ c + skip * x
    return y


def _routes(pattern: str, height: int, width: int) -> list[list[int]]:
    """Which place is visited at each step, for each of the four scans."""
    count = height * width
    rows = list(range(count))
    columns = [(p % height) * width + p // height for p in range(count)]
    return {
        "cross": [rows, columns, rows[::-1], columns[::-1]],
        "unidi": [rows, rows, rows, rows],
        "bidi": [rows, rows, rows[::-1], rows[::-1]],
    }[pattern]


def _cascade(x: Array, w: Weights, op: str) -> Array:
    """Rows, then columns; the backward scan's result is left as it came."""
    x = _layer_norm(x)
    x = np.stack([_scan(row, w, op, 0) + _scan(row[::-1], w, op, 1) for row in x])
    x = _layer_norm(x)
    columns = [
        _scan(x[:, j], w, op, 2) + _scan(x[::-1, j], w, op, 3) for j in range(x.shape[1])
    ]  # fmt: skip
    return np.stack(columns, axis=1)


def _ss2d(x: Array, w: Weights, op: str, pattern: str) -> Array:
    """The mixer on a map (H, W, C)."""
    height, width, _ = x.shape
    x = x @ w[f"{op}.in_proj.weight"].T
    inner = w[f"{op}.out_proj.weight"].shape[1]
    gate = _silu(x[..., inner:]) if x.shape[-1] == 2 * inner else 1.0
    x = x[..., :inner]
    if f"{op}.conv2d.weight" in w:
        around = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        kernel = w[f"{op}.conv2d.weight"]
        bias = w.get(f"{op}.conv2d.bias", np.zeros(inner))
        x = sum(
            (around[i : i + height, j : j + width] * kernel[:, 0, i, j] for i in range(3) for j in range(3)),
            start=bias + np.zeros_like(x),
        )
    x = _silu(x)
    if pattern == "cascade":
        y = _cascade(x, w, op)
    else:
        flat, total = x.reshape(height * width, inner), np.zeros((height * width, inner))
        for k, route in enumerate(_routes(pattern, height, width)):
            total[route] += _scan(flat[route], w, op, k)
        y = total.reshape(x.shape)
    y = _layer_norm(y, w[f"{op}.out_norm.weight"], w[f"{op}.out_norm.bias"]) * gate
    out: Array = y @ w[f"{op}.out_proj.weight"].T
    return out


def _merged(x: Array, w: Weights, key: str) -> Array:
    """Patch merging: the four places of every square of 2 x 2, zeros beyond the edge."""
    height, width, channels = x.shape
    down, across = (height + 1) // 2, (width + 1) // 2
    out = np.zeros((down, across, 4 * channels))
    for i in range(down):
        for j in range(across):
            for which, (row, column) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
                if 2 * i + row < height and 2 * j + column < width:
                    place = x[2 * i + row, 2 * j + column]
                    out[i, j, which * channels : (which + 1) * channels] = place
    reduced: Array = (
        _layer_norm(out, w[f"{key}.norm.weight"], w[f"{key}.norm.bias"]) @ w[f"{key}.reduction.weight"].T
    )
    return reduced


def _net(image: Array, w: Weights, depths: tuple[int, ...], pattern: str) -> Array:
    """An image (3, H, W) through the first versions of stem and downsample."""
    _, high, wide = image.shape
    kernel = w["patch_embed.0.weight"]
    x = np.zeros((high // 4, wide // 4, len(kernel)))
    for i in range(high // 4):
        for j in range(wide // 4):
            patch = image[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
            x[i, j] = (kernel * patch).sum((1, 2, 3)) + w["patch_embed.0.bias"]
    x = _layer_norm(x, w["patch_embed.2.weight"], w["patch_embed.2.bias"])
    for stage, depth in enumerate(depths):
        for block in range(depth):
            at = f"layers.{stage}.blocks.{block}"
            normed = _layer_norm(x, w[f"{at}.norm.weight"], w[f"{at}.norm.bias"])
            x = x + _ss2d(normed, w, f"{at}.op", pattern)
            if f"{at}.mlp.fc1.weight" in w:
                normed = _layer_norm(x, w[f"{at}.norm2.weight"], w[f"{at}.norm2.bias"])
                hidden = _gelu(normed @ w[f"{at}.mlp.fc1.weight"].T + w[f"{at}.mlp.fc1.bias"])
                x = x + hidden @ w[f"{at}.mlp.fc2.weight"].T + w[f"{at}.mlp.fc2.bias"]
        if stage + 1 < len(depths):
            x = _merged(x, w, f"layers.{stage}.downsample")
    x = _layer_norm(x, w["classifier.norm.weight"], w["classifier.norm.bias"]).mean((0, 1))
    logits: Array = w["classifier.head.weight"] @ x + w["classifier.head.bias"]
    return logits


def _random_weights(model: Model) -> dict[str, torch.Tensor]:
    """Under the official keys, all of a size that shows."""
    generator = torch.Generator().manual_seed(7)

    def drawn(key: str, like: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(like.shape, generator=generator)
        if key.endswith("A_logs"):
            return torch.arange(1, like.shape[1] + 1).log() + 0.3 * noise
        if key.endswith(("norm.weight", "norm2.weight", "Ds", "patch_embed.2.weight")):
            return 1 + 0.3 * noise
        return 0.3 * noise if key.endswith("bias") else noise / like[0].numel() ** 0.5

    return {key: drawn(key, tensor) for key, tensor in to_layout(model, "vmamba").items()}


PATTERNS = {
    "unidi": {"order": "[rows, rows, rows, rows]"},
    "bidi": {"order": "[rows, rows, reverse(rows), reverse(rows)]"},
    "cascade": {"core": "cascade"},
    "cross": {},
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    ("gate", "block_type", "state"), [("ss2d_z", "mixing_only", 5), ("ss2d", "metaformer", 1)]
)
def test_the_whole_net(pattern: str, gate: str, block_type: str, state: int) -> None:
    arguments = ", ".join(f"{name} = {value}" for name, value in PATTERNS[pattern].items())
    overrides = {
        "mixing": f"{gate}({arguments})" if arguments else gate,
        "block_type": block_type,
        "stem": "patch_embed(4, dim) -> layer_norm",
        "downsample": "down_v1",
    }
    torch.manual_seed(0)
    model = archdsl.build("vmamba", overrides=overrides, state=state, expand=2, mlp_ratio=2, **COMMON).eval()
    weights = _random_weights(model)
    assert ("layers.0.blocks.0.norm2.weight" in weights) == (block_type == "metaformer")
    report = load_weights(model, weights)
    assert report.complete
    back = to_layout(model, "vmamba")
    assert all(torch.equal(back[key], tensor) for key, tensor in weights.items())
    image = torch.randn(1, 3, *COMMON["image"])
    with torch.no_grad():
        found = model(image)[0].double().numpy()
    plain = {key: tensor.double().numpy() for key, tensor in weights.items()}
    expected = _net(image[0].double().numpy(), plain, COMMON["depths"], pattern)
    assert np.abs(found - expected).max() <= 2e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("image", [(64, 64), (72, 88)])
@pytest.mark.parametrize(("downsample", "kernel"), [("down_v2", 2), ("down_v3", 3)])
def test_downsamples_of_convolutions(downsample: str, kernel: int, image: tuple[int, int]) -> None:
    """The second version drops what is left of odd maps, the third keeps it: maps of 9 become 4 or 5."""
    options = COMMON | {"image": image, "overrides": {"downsample": downsample}}
    model = archdsl.build("vmamba", **options).double().eval()
    weights = _random_weights(model)
    assert load_weights(model, weights).complete
    entered: list[torch.Tensor] = []
    for stage in ("s2", "s3", "s4"):
        model.get_submodule(f"stages.{stage}.downsample").register_forward_hook(
            lambda _module, _inputs, output: entered.append(output.to_map())
        )
    with torch.no_grad():
        maps = model.forward_intermediates(torch.randn(1, 3, *image).double(), intermediates_only=True)
    for stage, found in enumerate(entered):
        w, b, scale, shift = (
            weights[f"layers.{stage}.downsample.{key}"].double()
            for key in ("1.weight", "1.bias", "3.weight", "3.bias")
        )
        assert w.shape[-1] == kernel
        made = torch.nn.functional.conv2d(maps[stage], w, b, stride=2, padding=kernel // 3)
        expected = _layer_norm(made.permute(0, 2, 3, 1).numpy(), scale.numpy(), shift.numpy())
        assert np.abs(found.permute(0, 2, 3, 1).numpy() - expected).max() < 1e-12
