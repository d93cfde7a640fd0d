"""Fixtures of MambaOut and MambaVision: their files read, and the weights of those that store none.

A fixture is a pair of files in tests/data/goldens/<family>: a configuration, and weights under their official
keys beside tensors `golden.*`. The `full_*` ones store no weights: a formula makes them from their keys.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent / "data" / "goldens"
TOLERANCE = 5e-5
"""Of the largest value of each tensor, as the fixtures say."""


@dataclass(frozen=True)
class Golden:
    """One fixture.

    Args:
        about: its configuration.
        weights: by official key.
        stored: features by name, `golden.` taken off.
    """

    about: dict[str, Any]
    weights: dict[str, Tensor]
    stored: dict[str, Tensor]


def read(family: str, name: str) -> Golden:
    """A fixture; every feature that its configuration lists is there."""
    about = json.loads((FOLDER / family / f"{name}.json").read_text())
    tensors = load_file(FOLDER / family / f"{name}.safetensors")
    stored = {k.removeprefix("golden."): v for k, v in tensors.items() if k.startswith("golden.")}
    assert stored.keys() == about["golden_tensors"].keys()
    return Golden(about, {k: v for k, v in tensors.items() if not k.startswith("golden.")}, stored)


def names(family: str, begin: str) -> list[str]:
    """Fixtures whose name begins so."""
    return sorted(path.stem for path in (FOLDER / family).glob(f"{begin}*.json"))


def assert_same(features: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    """Every stored feature is reproduced."""
    for name, expected in stored.items():
        found = _stored_form(name, features)
        assert found.shape == expected.shape, name
        error = (found - expected).abs().max()
        assert error <= TOLERANCE * expected.abs().max(), f"{name}: {error}"


def _stored_form(name: str, features: dict[str, Tensor]) -> Tensor:
    """A feature whole, or its shape, its means or a corner of it."""
    if name in features:
        return features[name]
    feature, _, what = name.partition("_")
    value = features[feature]
    match what:
        case "shape":
            return torch.tensor(value.shape)
        case "chan_mean":
            return value.mean((0, 2, 3))
        case "first_pixels":
            return value[0, :8, :4, :4]
    raise KeyError(name)


def formula_weights(like: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the full-size fixtures were made with, by official key; `like` tells the shapes."""
    return {key: _formula(key, tuple(tensor.shape)).to(tensor.dtype) for key, tensor in like.items()}


def _formula(key: str, shape: tuple[int, ...]) -> Tensor:
    a = np.random.RandomState(zlib.crc32(key.encode("ascii"))).standard_normal(shape)
    value: Any
    match key.rsplit(".", maxsplit=1)[-1]:
        case "num_batches_tracked":
            value = np.zeros(shape)
        case "A_log":
            value = np.log(np.arange(1, shape[-1] + 1)) + 0.2 * a
        case "D":
            value = 1 + 0.2 * a
        case "gamma" | "gamma_1" | "gamma_2":
            value = 0.5 + 0.2 * a
        case "running_mean":
            value = 0.2 * a
        case "running_var":
            value = 1 + 0.3 * np.tanh(a)
        case "bias":
            value = -1 + 0.3 * a if key.endswith("dt_proj.bias") else 0.1 * a
        case _ if len(shape) == 1:
            value = 1 + 0.2 * a
        case _:
            value = a / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(value.astype(np.float32))


def formula_images(height: int, width: int) -> Tensor:
    """The image of the full-size fixtures, (1, 3, H, W)."""
    i = np.arange(3 * height * width)
    values = np.sin(0.37 * i + 0.11 * (i // width))
    return torch.from_numpy(values.astype(np.float32)).view(1, 3, height, width)
