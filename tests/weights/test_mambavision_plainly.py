"""MambaVision's options in float64 against plain PyTorch, from official keys that are written out here.

Windows smaller and larger than the map, padding in both stages, odd depths, ranks that round up, norms of q
and k, both layer scales, and the dense variant: what the fixtures have one at a time, and together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import pytest
import torch
from goldens import read
from torch import Tensor
from torch.nn import functional as fn

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.weights import load_weights, to_layout

Weights = dict[str, Tensor]
STATE = 8


@dataclass(frozen=True)
class Config:
    """Arguments of the official class; heads and windows of the last two stages."""

    dim: int
    in_dim: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int]
    windows: tuple[int, int]
    image: tuple[int, int]
    mlp_ratio: float = 4
    qkv_bias: bool = True
    qk_norm: bool = False
    layer_scale: float | None = None
    layer_scale_conv: float | None = None
    dense: bool = False


CONFIGS = {
    "odd widths, padding twice": Config(6, 5, (1, 2, 5, 3), (3, 4), (3, 2), (61, 67), layer_scale=1e-5),
    "norms of q and k, no bias": Config(
        9, 3, (2, 1, 3, 2), (4, 6), (5, 2), (50, 37), 3, qkv_bias=False, qk_norm=True, layer_scale_conv=1e-5
    ),
    "single mixers": Config(4, 6, (1, 1, 1, 1), (2, 2), (7, 5), (33, 64), 2.5, layer_scale_conv=1e-5),
    "dense, one window": Config(
        8, 8, (1, 1, 2, 3), (2, 8), (28, 14), (72, 100), layer_scale=1e-5, dense=True
    ),
}


def _attends(index: int, depth: int) -> bool:
    """Scans come first; of an odd number of blocks they are one more."""
    return index >= ceil(depth / 2)


def _shapes(c: Config) -> dict[str, tuple[int, ...]]:
    """Every official key, batch norms as `name.*`."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.conv_down.0.weight": (c.in_dim, 3, 3, 3),
        "patch_embed.conv_down.1.*": (c.in_dim,),
        "patch_embed.conv_down.3.weight": (c.dim, c.in_dim, 3, 3),
        "patch_embed.conv_down.4.*": (c.dim,),
    }

    def affine(key: str, *shape: int, bias: bool = True) -> None:
        shapes[f"{key}.weight"] = shape
        if bias:
            shapes[f"{key}.bias"] = shape[:1]

    for stage, depth in enumerate(c.depths):
        width = c.dim * 2**stage
        for index in range(depth):
            at = f"levels.{stage}.blocks.{index}"
            if stage < 2:
                for k in (1, 2):
                    affine(f"{at}.conv{k}", width, width, 3, 3)
                    shapes[f"{at}.norm{k}.*"] = (width,)
                if c.layer_scale_conv:
                    shapes[f"{at}.gamma"] = (width,)
                continue
            hidden = int(width * c.mlp_ratio)
            affine(f"{at}.norm1", width)
            affine(f"{at}.norm2", width)
            affine(f"{at}.mlp.fc1", hidden, width)
            affine(f"{at}.mlp.fc2", width, hidden)
            if c.layer_scale:
                shapes |= {f"{at}.gamma_{k}": (width,) for k in (1, 2)}
            mixer = f"{at}.mixer"
            if _attends(index, depth):
                affine(f"{mixer}.qkv", 3 * width, width, bias=c.qkv_bias)
                affine(f"{mixer}.proj", width, width)
                for k in "qk" if c.qk_norm else "":
                    affine(f"{mixer}.{k}_norm", width // c.heads[stage - 2])
                continue
            half, rank = width // 2, ceil(width / 16)
            shapes |= {f"{mixer}.A_log": (half, STATE), f"{mixer}.D": (half,)}
            shapes |= {f"{mixer}.{k}_proj.weight": (width, width) for k in ("in", "out")}
            shapes |= {f"{mixer}.conv1d_{k}.weight": (half, 1, 3) for k in "xz"}
            affine(f"{mixer}.x_proj", rank + 2 * STATE, half, bias=False)
            affine(f"{mixer}.dt_proj", half, rank)
        if stage < 3:
            shapes[f"levels.{stage}.downsample.reduction.0.weight"] = (2 * width, width, 3, 3)
        if c.dense:
            affine(f"outnorm{stage}", width)
    if not c.dense:
        shapes["norm.*"] = (8 * c.dim,)
        affine("head", 5, 8 * c.dim)
    return shapes


def _drawn(c: Config) -> Weights:
    weights: Weights = {}
    for key, shape in _shapes(c).items():
        noise = torch.randn(shape, dtype=torch.float64)
        if key.endswith(".*"):
            weights |= {
                key.replace("*", "weight"): 1 + 0.2 * noise,
                key.replace("*", "bias"): 0.2 * noise.flip(0),
                key.replace("*", "running_mean"): 0.2 * noise,
                key.replace("*", "running_var"): 1 + 0.3 * noise.tanh(),
                key.replace("*", "num_batches_tracked"): torch.tensor(3),
            }
        elif len(shape) == 1:
            weights[key] = 0.3 * noise + (not key.endswith("bias"))
        else:
            weights[key] = noise / noise[0].numel() ** 0.5
    return weights


def _normed(w: Weights, key: str, x: Tensor) -> Tensor:
    return fn.layer_norm(x, x.shape[-1:], w[f"{key}.weight"], w[f"{key}.bias"], 1e-5)


def _batch_normed(w: Weights, key: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    mean, variance, scale, shift = (
        w[f"{key}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
    )
    return fn.batch_norm(x, mean, variance, scale, shift, eps=eps)


def _conv(w: Weights, key: str, x: Tensor, stride: int = 1) -> Tensor:
    return fn.conv2d(x, w[f"{key}.weight"], w.get(f"{key}.bias"), stride, padding=1)


def _linear(w: Weights, key: str, x: Tensor) -> Tensor:
    return fn.linear(x, w[f"{key}.weight"], w.get(f"{key}.bias"))


def _mixer(w: Weights, key: str, x: Tensor) -> Tensor:
    """The bias of dt counts twice, the convolutions have none and see both sides."""
    halves = _linear(w, f"{key}.in_proj", x).chunk(2, -1)
    u, z = (
        fn.silu(fn.conv1d(v.mT, w[f"{key}.conv1d_{k}.weight"], padding=1, groups=v.shape[-1])).mT
        for k, v in zip("xz", halves, strict=True)
    )
    rank = w[f"{key}.dt_proj.weight"].shape[1]
    dt, b, c = _linear(w, f"{key}.x_proj", u).split((rank, STATE, STATE), -1)
    steps = fn.softplus(_linear(w, f"{key}.dt_proj", dt) + w[f"{key}.dt_proj.bias"])[..., None]
    kept = (-steps * w[f"{key}.A_log"].exp()).exp()
    added = steps * b[:, :, None] * u[..., None]
    h, out = torch.zeros_like(kept[:, 0]), []
    for t in range(x.shape[1]):
        h = kept[:, t] * h + added[:, t]
        out.append((h * c[:, t, None]).sum(-1))
    y = torch.stack(out, 1) + w[f"{key}.D"] * u
    return _linear(w, f"{key}.out_proj", torch.cat([y, z], -1))


def _attention(w: Weights, key: str, x: Tensor, heads: int) -> Tensor:
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in _linear(w, f"{key}.qkv", x).chunk(3, -1))
    if f"{key}.q_norm.weight" in w:
        q, k = _normed(w, f"{key}.q_norm", q), _normed(w, f"{key}.k_norm", k)
    seen = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
    return _linear(w, f"{key}.proj", (seen @ v).transpose(1, 2).flatten(2))


def _in_windows(w: Weights, x: Tensor, stage: int, c: Config) -> Tensor:
    """A stage of scans and attention: windows are cut once, zeros fill them and stay tokens."""
    batch, width, height, across = x.shape
    side, depth = c.windows[stage - 2], c.depths[stage]
    x = fn.pad(x, (0, -across % side, 0, -height % side))
    rows, columns = x.shape[2] // side, x.shape[3] // side
    x = x.unflatten(3, (columns, side)).unflatten(2, (rows, side))
    x = x.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, width)
    for index in range(depth):
        at = f"levels.{stage}.blocks.{index}"
        u = _normed(w, f"{at}.norm1", x)
        if _attends(index, depth):
            y = _attention(w, f"{at}.mixer", u, c.heads[stage - 2])
        else:
            y = _mixer(w, f"{at}.mixer", u)
        x = x + w.get(f"{at}.gamma_1", torch.ones(())) * y
        y = _linear(w, f"{at}.mlp.fc2", fn.gelu(_linear(w, f"{at}.mlp.fc1", _normed(w, f"{at}.norm2", x))))
        x = x + w.get(f"{at}.gamma_2", torch.ones(())) * y
    x = x.view(batch, rows, columns, side, side, width).permute(0, 5, 1, 3, 2, 4)
    return x.flatten(4, 5).flatten(2, 3)[:, :, :height, :across]


def _reference(w: Weights, x: Tensor, c: Config) -> list[Tensor]:
    """The map (B, C, H, W) of every stage, and the logits of a classifier."""
    for conv in (0, 3):
        x = _conv(w, f"patch_embed.conv_down.{conv}", x, 2)
        x = _batch_normed(w, f"patch_embed.conv_down.{conv + 1}", x, eps=1e-4).relu()
    found = []
    for stage, depth in enumerate(c.depths):
        if stage:
            x = _conv(w, f"levels.{stage - 1}.downsample.reduction.0", x, 2)
        if stage > 1:
            x = _in_windows(w, x, stage, c)
        else:
            for index in range(depth):
                at = f"levels.{stage}.blocks.{index}"
                y = _batch_normed(w, f"{at}.norm1", _conv(w, f"{at}.conv1", x))
                y = _conv(w, f"{at}.conv2", fn.gelu(y, approximate="tanh"))
                gamma = w.get(f"{at}.gamma", torch.ones(1, dtype=x.dtype))
                x = x + gamma[:, None, None] * _batch_normed(w, f"{at}.norm2", y)
        key = f"outnorm{stage}"
        found.append(_normed(w, key, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if c.dense else x)
    if not c.dense:
        found.append(_linear(w, "head", _batch_normed(w, "norm", x).mean((2, 3))))
    return found


def _build(c: Config) -> archdsl.Model:
    """The shipped arch with a configuration."""
    overrides = {"mlp_ratio": str(c.mlp_ratio)}
    for stage, heads, window, depth in zip(("s3", "s4"), c.heads, c.windows, c.depths[2:], strict=True):
        overrides |= {f"{stage}.heads": str(heads), f"{stage}.within": f"windows({window}, pad = on)"}
        if depth > 1:
            overrides[f"{stage}.qkv_bias"] = "on" if c.qkv_bias else "off"
            overrides[f"{stage}.qk_norm"] = "on" if c.qk_norm else "off"
    if c.dense:
        overrides |= {"head": "none", "feature_norm": "layer_norm"}
    return archdsl.build(
        "mambavision",
        overrides=overrides,
        dim=c.dim,
        stem_dim=c.in_dim,
        depths=c.depths,
        layer_scale=c.layer_scale,
        layer_scale_conv=c.layer_scale_conv,
        image=c.image,
        classes=5,
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_maps_and_logits(name: str) -> None:
    c = CONFIGS[name]
    torch.manual_seed(0)
    model, weights = _build(c).double().eval(), _drawn(c)
    assert load_weights(model, weights).complete
    back = to_layout(model, "mambavision")
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], tensor) for key, tensor in weights.items())
    for image in (c.image, (47, 70)):
        images = torch.randn(2, 3, *image, dtype=torch.float64)
        with torch.no_grad():
            found = model.forward_intermediates(images, intermediates_only=True)
            found += [] if c.dense else [model(images)]
        for ours, expected in zip(found, _reference(weights, images, c), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_key_is_needed_and_no_other_is_let_in(name: str) -> None:
    model, weights = _build(CONFIGS[name]), {k: v.float() for k, v in _drawn(CONFIGS[name]).items()}
    for key in list(weights)[1::7]:
        with pytest.raises(DiagnosticError, match=r"E50[23]"):
            load_weights(model, {k: v for k, v in weights.items() if k != key})
    with pytest.raises(DiagnosticError, match="E503"):
        load_weights(model, weights | {"levels.2.blocks.9.norm1.weight": torch.ones(4)})


def test_the_reference_is_the_official_code() -> None:
    golden = read("mambavision", "mv_odd_pad_ls")
    about = golden.about["config"]
    c = Config(
        about["dim"],
        about["in_dim"],
        tuple(about["depths"]),
        tuple(about["num_heads"][2:]),
        tuple(about["window_size"][2:]),
        tuple(golden.about["image_size"]),
        layer_scale=about["layer_scale"],
    )
    weights = {k: v.double() for k, v in golden.weights.items()}
    *stages, logits = _reference(weights, golden.stored["input"].double(), c)
    for found, name in zip(
        (*stages, logits), ("stage1", "stage2", "stage3", "stage4", "output"), strict=True
    ):
        expected = golden.stored[name]
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
