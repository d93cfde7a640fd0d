"""Checkpoints of every published layout with something wrong in them: told, never half loaded."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import archdsl
from archdsl.compiler import Model
from archdsl.diagnostics import DiagnosticError
from archdsl.weights import load_weights, to_layout

STAGES: dict[str, object] = {"depths": [1, 1, 1, 1], "image": 32, "classes": 5}
PLAIN: dict[str, object] = {"dim": 16, "depth": 1, "image": 32, "classes": 5}
MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "mamba_r": ("mamba_r", PLAIN | {"registers": 2, "reduce": 2}),
    "mambaout_timm": ("mambaout", STAGES | {"dims": [8, 8, 16, 16]}),
    "vim": ("vim", PLAIN),
    "vim_double": ("vim", PLAIN | {"at": "both"}),
    "vit_timm": ("vit", PLAIN | {"heads": 2}),
    "mila": ("mila", STAGES | {"dim": 16, "heads": [1, 2, 4, 8]}),
    "vmamba": ("vmamba", STAGES | {"dim": 8}),
    "mambavision": ("mambavision", STAGES | {"dim": 16, "stem_dim": 8, "depths": [1, 1, 2, 2], "image": 64}),
}
CHANGES: dict[str, Callable[[Tensor], Tensor | None]] = {
    "missing": lambda t: None,
    "one number": lambda t: t.new_ones(()),
    "empty": lambda t: t.new_empty(0),
    "no storage": lambda t: t.to("meta"),
    "sparse": lambda t: t[None].to_sparse(),
    "nested": lambda t: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantized": lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
    "complex": lambda t: t.to(torch.complex64),
    "kind": lambda t: t.long() if t.is_floating_point() else t.float(),
    "bool": lambda t: t.bool() if t.is_floating_point() else t.float(),
    "twice": lambda t: torch.stack([t, t]),
    "longer": lambda t: torch.cat([t, t]) if t.dim() else t.repeat(2),
    "shorter": lambda t: t[1:] if t.dim() else t.repeat(0),
    "wider": lambda t: torch.cat([t, t], -1) if t.dim() else t.repeat(3),
}
HARMLESS: dict[str, Callable[[Tensor], Tensor]] = {
    "half": lambda t: t.half() if t.is_floating_point() else t,
    "float64": lambda t: t.double() if t.is_floating_point() else t.int(),
    "not contiguous": lambda t: torch.stack([t, t], -1)[..., 0],
    "with a gradient": lambda t: t.clone().requires_grad_(t.is_floating_point()),
}
NUMBERS = ["99999999999999999999", "-1", "\N{ARABIC-INDIC DIGIT ONE}", "007", "1" * 5000, "", "1.5"]


@cache
def _model(layout: str) -> Model:
    name, values = MODELS[layout]
    torch.manual_seed(0)
    return archdsl.build(name, **values)


@cache
def _checkpoint(layout: str) -> dict[str, Tensor]:
    return {key: t.clone() for key, t in to_layout(_model(layout), layout).items()}


def _refused_whole(layout: str, checkpoint: dict[str, Tensor], strict: bool) -> bool:
    """Whether it is refused, and then leaves the model as it was."""
    model = _model(layout)
    before = {key: t.clone() for key, t in model.state_dict().items()}
    try:
        report = load_weights(model, checkpoint, strict=strict)
    except DiagnosticError as error:
        codes = {d.code for d in error.diagnostics}
    else:
        codes = set()
    if codes:
        assert codes <= {"E502", "E503"}
        assert all(torch.equal(t, before[key]) for key, t in model.state_dict().items())
        return True
    assert not (strict and not report.complete)
    assert set(report.loaded) | {m.name for m in report.mismatched} | set(report.missing) == set(before)
    assert str(report)
    return False


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    layout=st.sampled_from(sorted(MODELS)), change=st.sampled_from(sorted(CHANGES)), at=st.floats(0, 0.999)
)
def test_one_faulty_tensor_is_refused(layout: str, change: str, at: float) -> None:
    whole = _checkpoint(layout)
    key = list(whole)[int(at * len(whole))]
    faulty = CHANGES[change](whole[key])
    checkpoint = {k: faulty if k == key else t for k, t in whole.items()}
    checkpoint = {k: t for k, t in checkpoint.items() if t is not None}
    positions = key in ("pos_embed", "absolute_pos_embed")
    refused = _refused_whole(layout, checkpoint, strict=True)
    assert refused or (positions and change in ("longer", "shorter"))
    _refused_whole(layout, checkpoint, strict=False)


@pytest.mark.parametrize("layout", MODELS)
@pytest.mark.parametrize("change", HARMLESS)
def test_other_types_of_the_same_numbers_are_loaded(layout: str, change: str) -> None:
    assert not _refused_whole(layout, {k: HARMLESS[change](t) for k, t in _checkpoint(layout).items()}, True)


@pytest.mark.parametrize("layout", MODELS)
def test_subsets_are_refused(layout: str) -> None:
    draw = random.Random(0)
    whole = _checkpoint(layout)
    for _ in range(10):
        part = draw.sample(sorted(whole), draw.randint(1, len(whole) - 1))
        assert _refused_whole(layout, {key: whole[key] for key in part}, strict=True)
        _refused_whole(layout, {key: whole[key] for key in part}, strict=False)


@pytest.mark.parametrize("layout", MODELS)
@pytest.mark.parametrize("number", NUMBERS, ids=[n[:8] or "none" for n in NUMBERS])
def test_keys_with_other_numbers_are_no_others_keys(layout: str, number: str) -> None:
    whole = _checkpoint(layout)
    key = next(k for k in whole if any(p.isdigit() for p in k.split(".")))
    parts = key.split(".")
    index = next(i for i, p in enumerate(parts) if p.isdigit())
    other = ".".join([*parts[:index], number, *parts[index + 1 :]])
    for strict in (True, False):
        assert _refused_whole(layout, whole | {other: whole[key]}, strict)
        assert _refused_whole(layout, {other if k == key else k: t for k, t in whole.items()}, strict)


def test_joined_tensors_have_one_size() -> None:
    for layout, first, second, axis in (
        ("mila", "layers.0.blocks.0.in_proj.weight", "layers.0.blocks.0.act_proj.weight", 0),
        ("vim_double", "cls_token_head", "cls_token_tail", 1),
    ):
        whole = _checkpoint(layout)
        both = torch.cat([whole[first], whole[second]], axis)
        sizes = [both.shape[axis] // 2 - 1, both.shape[axis] // 2 + 1]
        a, b = both.split(sizes, axis)
        assert _refused_whole(layout, whole | {first: a, second: b}, strict=True)


def test_four_scans_are_no_two() -> None:
    """The shapes fit: rows and reversed rows have their tensors in the checkpoint of all four."""
    two = archdsl.build("vmamba", **MODELS["vmamba"][1], order="both")
    with pytest.raises(DiagnosticError, match="x_proj_weight"):
        load_weights(two, _checkpoint("vmamba"))


SHARED = """
mixer both_ways = gated(routed(shared(conv1d(4, causal) -> silu -> selective_scan(16)), order = both))
block one_set(norm = rms_norm) { residual norm -> both_ways }
arch shared_vim(dim = 16) {
  image   = 32
  classes = 5
  norm = rms_norm
  stem = patch_embed(16, dim) -> class_token(middle) -> position(learned)
  stage trunk { blocks = one_set }
  head = norm -> take(class_token) -> pool(mean) -> linear(classes)
}
"""


def test_weights_that_two_scans_share_come_from_equal_ones_alone(tmp_path: Path) -> None:
    (tmp_path / "shared.arch").write_text(SHARED)
    model = archdsl.build(tmp_path / "shared.arch")
    whole = _checkpoint("vim")
    with pytest.raises(DiagnosticError, match="the same tensor as"):
        load_weights(model, whole)
    equal = whole | {k: whole[k.replace("_b", "")] for k in whole if "_b." in k or k.endswith("_b")}
    equal["layers.0.mixer.A_b_log"] = whole["layers.0.mixer.A_log"]
    assert load_weights(model, equal).complete
    assert load_weights(model, to_layout(model, "vim")).complete
