"""The fixtures of Mamba-R and Vim: files made with the official code, whose two families are built alike.

A fixture is a pair of files: a configuration, and weights under the official keys with input, output and
features. Real sizes store no weights: they are drawn by the recipe that the configuration names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from archdsl.compiler import Model
from archdsl.weights import load_weights, to_layout

Shapes = Mapping[str, tuple[int, ...]]
"""By official key."""


@dataclass(frozen=True)
class Fixture:
    """One pair of files.

    Args:
        name: of the files, without their ends.
        about: the .json.
        stored: the .safetensors.
    """

    name: str
    about: dict[str, Any]
    stored: dict[str, Tensor]

    @property
    def config(self) -> dict[str, Any]:
        """Arguments of the official class or function."""
        config: dict[str, Any] = self.about["config"]
        return config

    @property
    def features(self) -> dict[str, Tensor]:
        """Features by name, and the `output`."""
        return self._under("feature.") | {"output": self.stored["output"]}

    @property
    def weights(self) -> dict[str, Tensor]:
        """Weights by official key; none where they are drawn."""
        return self._under("state_dict.")

    def _under(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in self.stored.items() if k.startswith(prefix)}

    def weights_and_input(self, shapes: Shapes) -> tuple[dict[str, Tensor], Tensor]:
        """What is stored, or drawn for these shapes; either way what the fixture was made with."""
        weights = self.weights
        if weights:
            images = self.stored["input"]
        else:
            size, batch = image_size(self.config), self.about["batch"]
            weights, images = drawn(
                shapes, self.about["seed"], (batch, 3, *size), self.about.get("small_scale", 1.0)
            )
        assert digest(weights) == self.about["state_dict_sha256"]
        assert hashlib.sha256(images.numpy().tobytes()).hexdigest() == self.about["input_sha256"]
        return weights, images


def read(folder: Path, name: str) -> Fixture:
    """The fixture of that name."""
    about = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return Fixture(name, about, load_file(folder / f"{name}.safetensors"))


def image_size(config: Mapping[str, Any]) -> tuple[int, int]:
    """(H, W) of a configuration's images."""
    size = config["img_size"]
    return (size[0], size[1]) if isinstance(size, list | tuple) else (size, size)


def scan_sizes(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """State, taps of the convolution and expansion of a configuration."""
    scan = {**config.get("ssm_cfg", {}), **config}
    state, conv, expand = (scan.get(k, d) for k, d in (("d_state", 16), ("d_conv", 4), ("expand", 2)))
    return state, conv, expand


def drawn(
    shapes: Shapes, seed: int, images: tuple[int, ...], small: float = 1.0
) -> tuple[dict[str, Tensor], Tensor]:
    """Weights and input by the fixtures' recipe.

    Args:
        shapes: of the weights.
        seed: of the recipe.
        images: shape of the input.
        small: factor of the tensors that the recipe scales.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    weights = {}
    for key in sorted(shapes):
        shape = shapes[key]
        r = rng.standard_normal(int(np.prod(shape))).reshape(shape)
        value = _value(key, shape, r)
        if key.startswith(("patch_embed", "cls_token", "pos_embed", "neck")) or "out_proj" in key:
            value = value * small
        weights[key] = torch.from_numpy(value.astype(np.float32))
    values = rng.standard_normal(int(np.prod(images))).reshape(images)
    return weights, torch.from_numpy(values.astype(np.float32))


def _value(key: str, shape: tuple[int, ...], r: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One tensor of the recipe from standard normal numbers."""
    names = key.split(".")
    module = names[-2] if len(names) > 1 else ""
    if key.endswith(("A_log", "A_b_log")):
        return np.log(np.arange(1, shape[-1] + 1)) + 0.2 * r
    if names[-1] in ("D", "D_b"):
        return 1 + 0.3 * r
    if module in ("dt_proj", "dt_proj_b"):
        return -3 + 0.7 * r if names[-1] == "bias" else 0.5 * shape[1] ** -0.5 * r
    if module in ("conv1d", "conv1d_b") and names[-1] == "weight":
        return 0.4 * r
    if names[-1] == "gamma":
        return 0.5 + 0.1 * r
    if module.startswith("norm") and names[-1] == "weight":
        return 1 + 0.2 * r
    if key.startswith(("cls_token", "pos_embed")):
        return 0.3 * r
    return 0.2 * r if len(shape) == 1 else r / np.sqrt(np.prod(shape[1:]))


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over those of all tensors, as the fixtures have it."""
    each = (hashlib.sha256(weights[k].numpy().tobytes()).hexdigest() for k in sorted(weights))
    return hashlib.sha256("".join(each).encode()).hexdigest()


def features(model: Model, images: Tensor) -> dict[str, Tensor]:
    """The features of the official model, taken at ours."""
    found: dict[str, Tensor] = {}

    def keep(name: str, path: str, of_input: bool = False) -> None:
        def hook(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            value = inputs[0] if of_input else output
            found[name] = value if isinstance(value, Tensor) else value.x

        model.get_submodule(path).register_forward_hook(hook)

    keep("patch_embed", "stem.patch_embed")
    keep("tokens", "stem")
    for i, block in enumerate(model.get_submodule("stages.trunk.blocks").children()):
        inside = f"stages.trunk.blocks.{i}.residual"
        names = [name for name, _ in block.get_submodule("residual").named_children()]
        keep(f"block{i}.residual", inside, of_input=True)
        keep(f"block{i}.hidden", f"{inside}.{names[-1]}")
    keep("norm_f", "head.norm")
    keep("head_in", "head.linear", of_input=True)
    with torch.no_grad():
        found["output"] = model.eval()(images)
    if found["head_in"].shape[1] == 1:
        found["head_in"] = found["head_in"][:, 0]
    return found


def assert_reproduced(fixture: Fixture, model: Model, layout: str) -> None:
    """The model has the fixture's parameters, takes its weights by that layout and gives its features."""
    assert sum(p.numel() for p in model.parameters()) == fixture.about["num_params"]
    shapes = {k: tuple(v.shape) for k, v in to_layout(model, layout).items()}
    weights, images = fixture.weights_and_input(shapes)
    report = load_weights(model, weights)
    assert report.complete
    assert report.layout == layout
    found = features(model, images)
    for feature, value in fixture.features.items():
        torch.testing.assert_close(
            stored_form(feature, found),
            value,
            **fixture.about["suggested_tolerance"],
            msg=lambda m, f=feature: f"{fixture.name}, {f}: {m}",
        )


def stored_form(name: str, found: Mapping[str, Tensor]) -> Tensor:
    """A stored feature may be the first token or the mean over tokens of one."""
    if name.endswith(".first_token"):
        return found[name.removesuffix(".first_token")][:, 0]
    if name.endswith(".mean_over_tokens"):
        return found[name.removesuffix(".mean_over_tokens")].mean(1)
    return found[name]


def feature_names(fixture: Fixture, real: bool) -> set[str]:
    """The features that a fixture of this kind stores."""
    if real:
        kept = {"hidden": "first_token", "residual": "mean_over_tokens"}
        return {"head_in", "output"} | {f"block{i}.{k}.{v}" for i in (0, 12, 23) for k, v in kept.items()}
    blocks = range(fixture.config["depth"])
    inside = {f"block{i}.{what}" for i in blocks for what in ("hidden", "residual")}
    return {"patch_embed", "tokens", "norm_f", "head_in", "output"} | inside
