"""Vim in plain PyTorch, written from its description and sharing nothing with the package.

It reads official keys and runs one step of the scan after the other: slow, plain, in any precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, silu, softplus

Weights = Mapping[str, Tensor]


def vim(w: Weights, images: Tensor, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Features and `output` of images (B, 3, H, W).

    Args:
        w: by official key.
        images: of the configured size.
        config: arguments of the official class.
    """
    depth = config["depth"]
    found = {"patch_embed": _patches(w, images, config)}
    h, position = _with_class_tokens(w, found["patch_embed"], config)
    if "pos_embed" in w:
        h = h + w["pos_embed"]
    found["tokens"] = h
    residual = None
    for i in range(depth):
        residual = h if residual is None else residual + h
        h = _mixer(w, f"layers.{i}.mixer", _norm(w, f"layers.{i}.norm", residual, config), config)
        found[f"block{i}.residual"], found[f"block{i}.hidden"] = residual, h
    assert residual is not None
    tokens = _norm(w, "norm_f", residual + h, config)
    found["norm_f"] = tokens
    if position:
        vector = sum(tokens[:, p] for p in position) / len(position)
    elif config["final_pool_type"] == "mean":
        vector = tokens.mean(1)
    else:
        vector = tokens
    logits = vector @ w["head.weight"].T + w["head.bias"]
    if not position and config["final_pool_type"] == "max":
        logits = logits.max(1).values
    return found | {"head_in": vector, "output": logits}


def _patches(w: Weights, images: Tensor, config: Mapping[str, Any]) -> Tensor:
    kernel = w["patch_embed.proj.weight"]
    side, stride = kernel.shape[-1], config.get("stride", 16)
    batch, _, height, width = images.shape
    out = []
    for y in range(0, height - side + 1, stride):
        for x in range(0, width - side + 1, stride):
            patch = images[:, :, y : y + side, x : x + side].reshape(batch, -1)
            out.append(patch @ kernel.flatten(1).T + w["patch_embed.proj.bias"])
    return torch.stack(out, 1)


def _with_class_tokens(w: Weights, x: Tensor, config: Mapping[str, Any]) -> tuple[Tensor, list[int]]:
    """The sequence with its class tokens, and their places."""
    batch, patches, _ = x.shape
    if not config["if_cls_token"]:
        return x, []
    if config.get("use_double_cls_token", False):
        head, tail = (w[f"cls_token_{end}"].expand(batch, -1, -1) for end in ("head", "tail"))
        return torch.cat([head, x, tail], 1), [0, patches + 1]
    at = patches // 2 if config["use_middle_cls_token"] else 0
    token = w["cls_token"].expand(batch, -1, -1)
    return torch.cat([x[:, :at], token, x[:, at:]], 1), [at]


def _norm(w: Weights, name: str, x: Tensor, config: Mapping[str, Any]) -> Tensor:
    if config["rms_norm"]:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"]
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"]


def _mixer(w: Weights, name: str, u: Tensor, config: Mapping[str, Any]) -> Tensor:
    x, z = (u @ w[f"{name}.in_proj.weight"].T).chunk(2, -1)
    y = _branch(w, name, "", "A_log", x, z)
    if config["bimamba_type"] == "v2":
        y = y + _branch(w, name, "_b", "A_b_log", x.flip(1), z.flip(1)).flip(1)
        y = y / 2 if config["if_divide_out"] else y
    out = y @ w[f"{name}.out_proj.weight"].T
    return out * w[f"{name}.gamma"] if f"{name}.gamma" in w else out


def _branch(w: Weights, name: str, suffix: str, a_log: str, v: Tensor, z: Tensor) -> Tensor:
    """One direction over v and z (B, T, E), in the order given."""
    taps, bias = w[f"{name}.conv1d{suffix}.weight"], w[f"{name}.conv1d{suffix}.bias"]
    channels, _, count = taps.shape
    padded = pad(v, (0, 0, count - 1, 0))
    v = silu(sum(padded[:, k : k + v.shape[1]] * taps[:, 0, k] for k in range(count)) + bias)
    state, rank = w[f"{name}.{a_log}"].shape[1], w[f"{name}.dt_proj{suffix}.weight"].shape[1]
    q = v @ w[f"{name}.x_proj{suffix}.weight"].T
    dt, b, c = q.split([rank, state, state], -1)
    delta = softplus(dt @ w[f"{name}.dt_proj{suffix}.weight"].T + w[f"{name}.dt_proj{suffix}.bias"])
    a = -w[f"{name}.{a_log}"].exp()
    h = v.new_zeros(v.shape[0], channels, state)
    out = []
    for t in range(v.shape[1]):
        step = delta[:, t, :, None]
        h = (step * a).exp() * h + step * v[:, t, :, None] * b[:, t, None]
        out.append((h * c[:, t, None]).sum(-1) + w[f"{name}.D{suffix}"] * v[:, t])
    return torch.stack(out, 1) * silu(z)
