"""Fixtures read, and the weights of those that store none.

A fixture is a pair of files in tests/data/goldens/<family>: a configuration, and weights under their official
keys beside input, output and features. Those of MambaOut and MambaVision name the latter `golden.*`; their
`full_*` ones store no weights: a formula makes them from their keys. Those of MILA and VMamba name their
weights `state_dict.*`.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent / "data" / "goldens"
TOLERANCE = 5e-5
"""Of the largest value of each tensor, as the fixtures of MambaOut and MambaVision say."""
OUTPUT, FEATURE = 1e-4, 2e-5
"""The same of MILA's and VMamba's: of an output, and of a feature for the largest value in it."""


class Golden(NamedTuple):
    """One fixture.

    Args:
        about: its configuration.
        weights: by official key.
        stored: input, output and features by name.
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


def read_state_dict(family: str, name: str) -> Golden:
    """A fixture of MILA or VMamba."""
    about = json.loads((FOLDER / family / f"{name}.json").read_text())
    tensors = load_file(FOLDER / family / f"{name}.safetensors")
    weights = {k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")}
    return Golden(about, weights, {k: v for k, v in tensors.items() if not k.startswith("state_dict.")})


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


def assert_close(features: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    """Every stored feature of MILA or VMamba is reproduced, and no other is looked at."""
    assert features.keys() == stored.keys()
    for key, expected in stored.items():
        assert features[key].shape == expected.shape, key
        error = (features[key] - expected).abs().max()
        assert error <= (OUTPUT if key == "output" else FEATURE * expected.abs().max()), f"{key}: {error}"


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
