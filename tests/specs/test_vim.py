"""Vim: its ablations are what their names say, and its blocks give maps at any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import archdsl
from archdsl.compiler import Model

SPEC = Path(__file__).parents[2] / "specs" / "ablations" / "vim.arch"
TINY = 7_148_008
TOKENS = ("mean", "max", "head_token", "double_token", "middle_token", "no_divide")
DIRECTIONS = ("none", "paired", "bi_ssm", "bi_conv")
SEGMENTATION = (5, 11, 17, 23)
"""The blocks whose maps Vim's segmentation reads."""


def _params(name: str) -> int:
    return archdsl.load(SPEC, name).cost().params


def _small(name: str, **changes: Any) -> Model:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"dim": 16, "depth": 4, "image": 64, "classes": 5}
    return archdsl.build(SPEC, name, overrides=sizes | changes).eval()


def test_all_are_here() -> None:
    for name in (*TOKENS, *DIRECTIONS):
        assert archdsl.load(SPEC, f"vim_{name}").classes == 1000


def test_parameters_of_the_class_token() -> None:
    for name in ("vim_middle_token", "vim_head_token", "vim_no_divide"):
        assert _params(name) == TINY
    assert _params("vim_mean") == _params("vim_max") == TINY - 2 * 192
    assert _params("vim_double_token") == TINY + 2 * 192


def test_parameters_of_the_directions() -> None:
    inner, state, rank = 384, 16, 12
    conv = 4 * inner + inner
    scan = inner * (rank + 2 * state) + rank * inner + inner + inner * state + inner
    both = _params("vim_bi_conv")
    assert both == TINY - 2 * 192
    assert _params("vim_bi_ssm") == both - 24 * conv
    assert _params("vim_none") == _params("vim_paired") == both - 24 * (conv + scan)


def test_what_is_the_same_network() -> None:
    def digest(name: str) -> str:
        return archdsl.load(SPEC, name).digest()

    assert digest("vim_middle_token") == archdsl.load("vim_tiny").digest()
    assert digest("vim_bi_conv") == digest("vim_mean")
    others = (
        "mean",
        "max",
        "head_token",
        "double_token",
        "middle_token",
        "no_divide",
        "none",
        "paired",
        "bi_ssm",
    )
    assert len({digest(f"vim_{name}") for name in others}) == len(others)


def _seen_by(model: Model, token: int) -> Tensor:
    """The patches of the image (4, 4) that a token behind the last block depends on."""
    images = torch.randn(1, 3, 64, 64, requires_grad=True)
    model.forward_features(images)[0, token].square().sum().backward()
    assert images.grad is not None
    return images.grad[0].unfold(1, 16, 16).unfold(2, 16, 16).abs().sum((0, 3, 4)) > 0


def test_one_direction_looks_back_only() -> None:
    assert _seen_by(_small("vim_none"), 5).flatten().tolist() == [True] * 6 + [False] * 10


@pytest.mark.parametrize("name", ["vim_paired", "vim_bi_ssm", "vim_bi_conv"])
def test_the_others_look_everywhere(name: str) -> None:
    assert _seen_by(_small(name), 5).all()


def test_paired_blocks_alternate() -> None:
    first = _small("vim_paired", **{"trunk.blocks": "scan(order = forward)"})
    second = _small("vim_paired", **{"trunk.blocks": "scan(order = backward)"})
    assert _seen_by(first, 5).flatten().tolist() == [True] * 6 + [False] * 10
    assert _seen_by(second, 5).flatten().tolist() == [False] * 5 + [True] * 11
    names = [name for name, _ in _small("vim_paired").named_modules() if name.endswith("conv1d")]
    assert [name.split(".")[-2] for name in names] == ["rows", "rows_reverse"] * 2


def test_a_shared_convolution_is_causal_for_both_scans() -> None:
    """Where it looks at no neighbour the direction does not matter, and the two are one."""
    shared, own = _small("vim_bi_ssm"), _small("vim_bi_conv")
    with torch.no_grad():
        for name, parameter in shared.named_parameters():
            if name.endswith("conv1d.weight"):
                parameter[..., :-1] = 0
    table = {}
    for name in own.state_dict():
        like = name.replace(".mamba.", ".bi_ssm.")
        route = next((r for r in ("rows_reverse", "rows") if f".{r}." in like), "")
        like = like.replace(f".{route}.conv1d", ".conv1d") if "conv1d" in like else like
        like = like.replace(f".{route}.selective_scan", f".routed.{route}")
        table[name] = shared.state_dict()[like]
    own.load_state_dict(table)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(own(images), shared(images), rtol=1e-4, atol=1e-5)
        for name, parameter in shared.named_parameters():
            if name.endswith("conv1d.weight"):
                parameter[..., 0] = 1
                for route in ("rows", "rows_reverse"):
                    ours = name.replace(".bi_ssm.", ".mamba.").replace(".conv1d", f".{route}.conv1d")
                    own.get_parameter(ours).copy_(parameter)
        assert (own(images) - shared(images)).abs().max() > 1e-4


def test_without_division_is_with_twice_the_projection() -> None:
    halved, plain = _small("vim_middle_token"), _small("vim_no_divide")
    plain.load_state_dict(halved.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert (plain(images) - halved(images)).abs().max() > 1e-3
        for name, parameter in halved.named_parameters():
            if name.endswith("linear_2.weight"):
                parameter.mul_(2)
        torch.testing.assert_close(plain(images), halved(images), rtol=1e-4, atol=1e-5)


def test_the_largest_logits_of_any_patch() -> None:
    model = _small("vim_max")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        head = model.get_submodule("head")
        each = head.linear(head.norm(model.forward_features(images)))
        torch.testing.assert_close(model(images), each.amax(1))


@pytest.mark.parametrize(
    ("arch", "image"),
    [
        ("vim_tiny", (96, 64)),
        ("vim_tiny", (70, 117)),
        ("vim_tiny_stride8", (61, 78)),
        ("vim_double_token", (61, 78)),
        ("vim_mean", (61, 78)),
    ],
)
def test_maps_for_segmentation(arch: str, image: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = archdsl.build(arch, dim=8, image=64, classes=5).eval()
    stride = 8 if arch.endswith("stride8") else 16
    grid = tuple((side - 16) // stride + 1 for side in image)
    images = torch.randn(2, 3, *image)
    with torch.no_grad():
        tokens, maps = model.forward_intermediates(images, indices=SEGMENTATION)
        alone = archdsl.features_only(model, out_indices=SEGMENTATION)(images)
        expected = model.forward_features(images)
    assert [tuple(m.shape) for m in maps] == [(2, 8, *grid)] * 4
    assert torch.equal(tokens, expected)
    assert all(torch.equal(a, b) for a, b in zip(alone, maps, strict=True))
    kinds = {"vim_mean": [], "vim_double_token": [0, -1]}
    extra = kinds.get(arch, [grid[0] * grid[1] // 2])
    patches = [i for i in range(tokens.shape[1]) if i not in [e % tokens.shape[1] for e in extra]]
    assert torch.equal(maps[-1], tokens[:, patches].transpose(1, 2).unflatten(2, grid))


def test_maps_are_told_with_their_widths() -> None:
    model = archdsl.build("vim_tiny_stride8", dim=8)
    info = archdsl.features_only(model, out_indices=SEGMENTATION).feature_info
    assert info.channels() == [8] * 4
    assert info.reduction() == [8] * 4
    assert info.module_name() == [f"stages.trunk.blocks.{i}" for i in SEGMENTATION]
