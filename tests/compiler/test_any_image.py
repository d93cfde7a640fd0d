"""Every family at images it was not built for: not square, with rows left over, with maps to be padded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families import FAMILIES, family_of
from torch import Tensor
from torch.nn.functional import layer_norm

import archdsl
from archdsl.graph.architecture import Architecture
from archdsl.graph.library import index
from archdsl.weights import save_weights

Size = tuple[int, int]
SHIPPED = sorted(name for name, path in index().items() if path.parent.name != "ablations")
QUICK = {name for family in FAMILIES.values() for name in family.compiled} | {"tiny", "tiny_stages"}
EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SHIPPED]


def _loaded(name: str, size: Size | None = None) -> Architecture:
    """A shipped arch at reduced size with 5 classes, for its own small image or another."""
    family = family_of(name)
    arguments = family.small | ({} if size is None else {"image": size})
    return archdsl.load(name, classes=5, overrides=family.overrides | family.any_image, **arguments)


def _built(name: str, size: Size | None = None) -> archdsl.Model:
    torch.manual_seed(0)
    family = family_of(name)
    arguments = family.small | ({} if size is None else {"image": size})
    overrides = family.overrides | family.any_image
    return archdsl.build(name, classes=5, overrides=overrides, **arguments).eval()


def _sizes(name: str) -> tuple[Size, Size]:
    """61 x 83 where the arch was built for 64 x 64, and one that is half as high again."""
    h, w = _loaded(name).image
    return (61 * h // 64, 83 * w // 64), (h + h // 2, w)


def _images(a: Architecture, size: Size) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, a.channels, *size)


def _expected(a: Architecture) -> list[tuple[int, ...]]:
    """Shapes of the maps, from the shapes that were inferred without running anything."""
    single = len(a.stages) == 1
    return [
        (2, stage.feature.dim, *stage.feature.grid)
        for stage in a.stages
        for _ in range(len(stage.blocks) if single else 1)
    ]


@pytest.mark.parametrize("name", EVERY)
@torch.no_grad()
def test_logits_and_maps_are_as_large_as_the_checker_says(name: str) -> None:
    model = _built(name)
    for size in _sizes(name):
        images = _images(model.architecture, size)
        logits = model(images)
        assert logits.shape == (2, 5)
        assert logits.isfinite().all()
        maps = model.forward_intermediates(images, intermediates_only=True)
        assert [tuple(m.shape) for m in maps] == _expected(_loaded(name, size))
        assert all(m.isfinite().all() for m in maps)


@pytest.mark.parametrize("name", EVERY)
@torch.no_grad()
def test_it_does_not_matter_for_which_image_it_was_built(name: str, tmp_path: Path) -> None:
    model = _built(name)
    save_weights(model, tmp_path / "weights.safetensors")
    for size in _sizes(name):
        there = _built(name, size)
        archdsl.load_weights(there, tmp_path / "weights.safetensors")
        images = _images(model.architecture, size)
        ours, theirs = (
            (m(images), *m.forward_intermediates(images, intermediates_only=True)) for m in (model, there)
        )
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", EVERY)
@torch.no_grad()
def test_norms_of_maps_of_any_size(name: str) -> None:
    family = family_of(name)
    overrides = (
        family.overrides | family.any_image | {"head": "none", "feature_norm": "layer_norm(eps = 0.1)"}
    )
    dense, model = archdsl.build(name, overrides=overrides, **family.small).eval(), _built(name)
    dense.load_state_dict(model.state_dict(), strict=False)
    for size in _sizes(name):
        images = _images(model.architecture, size)
        raw = model.forward_intermediates(images, intermediates_only=True)
        for ours, before in zip(archdsl.features_only(dense)(images), raw, strict=True):
            normed = layer_norm(before.permute(0, 2, 3, 1), before.shape[1:2], eps=0.1)
            torch.testing.assert_close(ours, normed.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [n if n == "mambaout_femto" else pytest.param(n, marks=pytest.mark.slow) for n in SHIPPED if n in QUICK],
)
@torch.no_grad()
def test_feature_maps_compile_and_export_at_another_size(name: str) -> None:
    torch._dynamo.reset()
    model = _built(name)
    maps = archdsl.features_only(model)
    compiled = torch.compile(maps, fullgraph=True, backend="aot_eager", dynamic=False)
    for size in (model.architecture.image, _sizes(name)[0]):
        images = _images(model.architecture, size)
        expected = maps(images)
        for a, b in zip(compiled(images), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    exported = torch.export.export(maps, (images,)).module()
    for a, b in zip(exported(images), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_windows_that_do_not_divide_are_told_before_and_while_it_runs() -> None:
    family = FAMILIES["hybrid"]
    model = archdsl.build("hybrid", classes=5, overrides=family.overrides, **family.small).eval()
    with pytest.raises(
        ValueError, match=r"windows of 7 x 7 do not divide a map of 6 x 9: use an image size .* pad = on"
    ):
        model(torch.randn(1, 3, 96, 145))
    small = {k: v for k, v in family.small.items() if k != "image"}
    with pytest.raises(archdsl.diagnostics.DiagnosticError) as caught:
        archdsl.load("hybrid", image=(96, 145), overrides=family.overrides, **small)
    for told in caught.value.diagnostics:
        assert told.code == "E302"
        assert told.help == "use 3, or pad = on"
        assert "s3 receives 6 x 9: 96 x 145, stem to 24 x 36, two downsamples" in told.notes
