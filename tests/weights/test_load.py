"""Checkpoints: recognised, taken out of wrappers, loaded whole or not at all, and reported."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import archdsl
from archdsl.diagnostics import DiagnosticError
from archdsl.features import Extra
from archdsl.nn.stream import Stream
from archdsl.weights import save_weights, to_layout
from archdsl.weights.layout import Entry, Layout, Piece, joined
from archdsl.weights.layouts import LAYOUTS
from archdsl.weights.positions import extras_first, in_sequence

SMALL: dict[str, Any] = {"dim": 32, "depth": 2, "registers": 4, "image": 64, "classes": 5}


def _model(**changes: Any) -> archdsl.Model:
    return archdsl.build("mamba_r", **(SMALL | changes))


def _official(model: archdsl.Model) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in to_layout(model, "mamba_r").items()}


def _equal(a: archdsl.Model, b: archdsl.Model) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def _refused(code: str, model: archdsl.Model, source: Any, **options: Any) -> str:
    """Loads what has to be refused with this code; the model stays as it was. Returns the message."""
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(DiagnosticError) as caught:
        archdsl.load_weights(model, source, **options)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert diagnostic.span is None
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    return str(caught.value)


def _bare(weights: dict[str, Tensor]) -> Any:
    return weights


def _with_epoch(weights: dict[str, Tensor]) -> Any:
    return {"epoch": 300, "model": weights, "optimizer": {"state": {}}}


def _in_state_dict(weights: dict[str, Tensor]) -> Any:
    return {"state_dict": {f"module.{k}": v for k, v in weights.items()}}


def _twice(weights: dict[str, Tensor]) -> Any:
    return {"model": {"state_dict": {f"module._orig_mod.{k}": v for k, v in weights.items()}}}


def _half(weights: dict[str, Tensor]) -> Any:
    return {k: v.double() for k, v in weights.items()}


WRAPS = (_bare, _with_epoch, _in_state_dict, _twice, _half)


@pytest.mark.parametrize(
    ("kind", "wrap"),
    [
        *((kind, wrap) for kind in ("mapping", "pth", "old_pth") for wrap in WRAPS),
        *(("safetensors", wrap) for wrap in (_bare, _half)),
    ],
)
def test_wrappers_and_files(wrap: Callable[[dict[str, Tensor]], Any], kind: str, tmp_path: Path) -> None:
    trained, fresh = _model(), _model()
    content = wrap(_official(trained))
    source: Any = content
    if kind != "mapping":
        source = tmp_path / f"weights.{kind}"
    if kind.endswith("pth"):
        torch.save(content, source, _use_new_zipfile_serialization=kind == "pth")
    if kind == "safetensors":
        save_file(content, source)
    report = archdsl.load_weights(fresh, source)
    assert report.complete
    assert report.layout == "mamba_r"
    assert f"{len(_official(trained))} of {len(_official(trained))} tensors loaded" in str(report)
    assert _equal(trained, fresh)


def test_position_embeddings_of_another_size() -> None:
    trained, larger = _model(), _model(image=(96, 128))
    report = archdsl.load_weights(larger, _official(trained))
    assert report.resized == (("stem.position.weight", (4, 4), (6, 8)),)
    assert "stem.position.weight resized from 4 x 4 to 6 x 8 places" in str(report)
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        torch.testing.assert_close(larger.eval()(image), trained.eval()(image), rtol=1e-5, atol=1e-6)


def test_position_embeddings_with_a_class_token_among_them(tmp_path: Path) -> None:
    stem = "patch_embed(16, dim) -> class_token(at = middle) -> position(learned)"
    overrides = {"stem": stem, "head": "norm -> take(class_token) -> linear(classes)"}
    options = {"dim": 32, "depth": 1, "classes": 3, "overrides": overrides}
    trained = archdsl.build("mamba_r", image=(64, 96), **options).eval()
    larger = archdsl.build("mamba_r", image=(96, 96), **options).eval()
    save_weights(trained, tmp_path / "a.safetensors")
    report = archdsl.load_weights(larger, tmp_path / "a.safetensors")
    assert report.resized == (("stem.position.weight", (4, 6), (6, 6)),)
    image = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(larger(image), trained(image), rtol=1e-5, atol=1e-6)


def test_positions_of_no_square_are_not_guessed() -> None:
    text = _refused("E503", _model(), _official(_model(image=(64, 96))))
    assert "stem.position.weight: model 1 x 16 x 32, checkpoint 1 x 24 x 32" in text


def test_another_number_of_classes() -> None:
    trained, other = _model(), _model(classes=9)
    text = _refused("E503", other, _official(trained))
    assert "head.linear.weight: model 9 x 32, checkpoint 5 x 32" in text
    assert "in Python, `load_weights(..., strict=False)` keeps" in text
    head = other.state_dict()["head.linear.weight"].clone()
    report = archdsl.load_weights(other, _official(trained), strict=False)
    assert [m.name for m in report.mismatched] == ["head.linear.weight", "head.linear.bias"]
    assert "head.linear.bias: model 9, checkpoint 5" in str(report)
    assert torch.equal(other.state_dict()["head.linear.weight"], head)
    assert torch.equal(other.state_dict()["head.norm.weight"], trained.state_dict()["head.norm.weight"])


def test_other_registers_and_another_neck_as_the_official_loader() -> None:
    trained, other = _model(), _model(registers=8, reduce=2)
    report = archdsl.load_weights(other, _official(trained), strict=False)
    assert {m.name for m in report.mismatched} == {
        "stem.registers.weight",
        "stem.registers.position",
        "head.linear.weight",
        "head.concat.neck.weight",
        "head.concat.norm.weight",
    }
    plain = _model(reduce=1)
    report = archdsl.load_weights(plain, _official(trained), strict=False)
    assert set(report.unexpected) == {"neck.weight", "norm_neck.weight"}


@pytest.mark.parametrize("strict", [True, False])
def test_another_trunk_is_refused_whole(strict: bool) -> None:
    text = _refused("E503", _model(depth=3), _official(_model()), strict=strict)
    assert "not in the checkpoint: stages.trunk.blocks.2" in text
    text = _refused("E503", _model(), _official(_model(dim=48)), strict=strict)
    assert "of another shape" in text
    other = archdsl.build("mambaout_femto", dims=(8, 8, 8, 8), depths=(1, 1, 1, 1), image=32)
    text = _refused("E503", other, _official(_model()), strict=strict)
    assert "Mamba-R" in text


def test_a_missing_and_a_superfluous_tensor() -> None:
    weights = _official(_model())
    del weights["layers.1.norm.weight"]
    weights["layers.1.mixer.extra"] = torch.zeros(1)
    text = _refused("E503", _model(), weights, strict=False)
    assert "stages.trunk.blocks.1.residual.norm.weight" in text
    assert "layers.1.mixer.extra" in text


def test_integers_for_weights() -> None:
    weights = _official(_model())
    weights["head.bias"] = weights["head.bias"].long()
    assert "the checkpoint holds torch.int64, the model torch.float32" in _refused("E503", _model(), weights)


def test_weights_of_something_else() -> None:
    text = _refused("E502", _model(), {"conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)})
    assert "conv1.weight, fc.bias" in text
    assert "Mamba-R (official), MambaOut (official), MambaOut (timm)" in text
    assert "no tensors" in _refused("E502", _model(), {"epoch": 3})


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch trapped",)


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": _official(_model()), "trap": _Trap()}, "trap.pth")
    Path("plain.pkl").write_bytes(pickle.dumps(_Trap()))
    assert "tensors are all that is read" in _refused("E504", _model(), "trap.pth")
    with pytest.raises(DiagnosticError):
        archdsl.load_weights(_model(), "plain.pkl")
    assert not Path("trapped").exists()


def test_settings_of_a_training_script_beside_the_weights(tmp_path: Path) -> None:
    args = argparse.Namespace(lr=1e-3, data="/data")
    torch.save({"model": _official(_model()), "args": args, "epoch": 3}, tmp_path / "args.pth")
    assert archdsl.load_weights(_model(), tmp_path / "args.pth").complete


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    for name, content in {
        "empty": b"",
        "text": b"hello, world, this is a text",
        "cut": b'\x80\x00\x00\x00\x00\x00\x00\x00{"a":',
        "zeros": bytes(100),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DiagnosticError) as caught:
            archdsl.load_weights(_model(), tmp_path / name)
        assert caught.value.diagnostics[0].code in ("E502", "E504"), name
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    _refused("E502", _model(), tmp_path / "list.pt")
    assert "nowhere.pth" in _refused("E501", _model(), tmp_path / "nowhere.pth")
    _refused("E501", _model(), tmp_path)


def test_a_cut_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(_model(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert "no sound safetensors file" in _refused("E502", _model(), path)


def test_a_model_without_storage() -> None:
    with pytest.raises(DiagnosticError, match="meta"):
        archdsl.load_weights(archdsl.build("mamba_r", device="meta", **SMALL), _official(_model()))


def test_saved_and_loaded(tmp_path: Path) -> None:
    trained, fresh = _model(), _model()
    path = tmp_path / "mine.safetensors"
    save_weights(trained, path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.safetensors"]
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["archdsl.digest"] == trained.architecture.digest()
    assert metadata["archdsl.spec"] == trained.architecture.to_source()
    assert metadata["archdsl.arch"] == "mamba_r"
    assert metadata["torch.version"] == torch.__version__
    assert json.loads(metadata["archdsl.grids"]) == {"stem.position.weight": [4, 4]}
    report = archdsl.load_weights(fresh, path)
    assert report.complete
    assert report.layout == "archdsl"
    assert _equal(trained, fresh)
    assert _equal(trained, archdsl.build("mamba_r", weights=path, **SMALL))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mamba_r", SMALL),
        ("mambaout_base_wide_rw", {"dims": (8, 12, 16, 20), "depths": (1, 1, 2, 1), "image": 64}),
        ("hybrid", {"dim": 16, "image": 112}),
    ],
)
def test_weights_fit_the_spec_that_is_saved_with_them(
    name: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    trained = archdsl.build(name, **changes).eval()
    save_weights(trained, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        (tmp_path / "a.arch").write_text(file.metadata()["archdsl.spec"])
    again = archdsl.build(tmp_path / "a.arch", weights=tmp_path / "a.safetensors").eval()
    images = torch.randn(1, 3, *trained.architecture.image)
    with torch.no_grad():
        assert torch.equal(again(images), trained(images))


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match="E508"):
        save_weights(_model(), tmp_path / "nowhere" / "a.safetensors")


def test_layouts_are_for_their_family() -> None:
    with pytest.raises(DiagnosticError, match="no place for"):
        to_layout(_model(), "mambaout")
    with pytest.raises(ValueError, match="there are archdsl, mamba_r, mambaout,"):
        to_layout(_model(), "resnet")
    model = _model()
    assert to_layout(model, "archdsl").keys() == model.state_dict().keys()


def test_patterns() -> None:
    layout = Layout(
        "x",
        "X",
        marks=("a.{i}.w",),
        entries=(
            Entry("a.{i}.w", "stages.0.blocks.{i}.*.weight"),
            Entry("b.{s}.{s}", "c.{s}"),
            Entry("down.{s-1}", "d.{s}"),
        ),
    )
    assert layout.recognises(["a.12.w", "other"])
    assert not layout.recognises(["a.x.w"])
    found = layout.locate("stages.0.blocks.7.mixing.weight")
    assert found is not None
    assert found.keys == ("a.7.w",)
    assert layout.locate("stages.0.blocks.7.a.b.weight") is None
    assert layout.locate("stages.1.blocks.7.a.weight") is None
    twice = layout.locate("c.3")
    assert twice is not None
    assert twice.keys == ("b.3.3",)
    before = layout.locate("d.3")
    assert before is not None
    assert before.keys == ("down.2",)


def test_a_layout_may_be_told_by_what_is_absent() -> None:
    layout = Layout("x", "X", marks=("a.{i}.w",), entries=(), absent=("b.{i}",))
    assert layout.recognises(["a.0.w", "b.c"])
    assert not layout.recognises(["a.0.w", "b.2"])


def test_pieces_and_joined_tensors_go_both_ways() -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    rows = [Piece(i, 4, stacked=True) for i in range(4)]
    assert [p.taken(whole).shape for p in rows] == [(6,)] * 4
    assert torch.equal(rows[0].assembled([p.taken(whole) for p in rows]), whole)
    halves = [Piece(i, 2) for i in range(2)]
    assert torch.equal(halves[0].assembled([p.taken(whole) for p in halves]), whole)
    both = joined(2, axis=1)
    parts = both.to_theirs(whole)
    assert [p.shape for p in parts] == [(4, 3)] * 2
    assert torch.equal(both.to_ours(parts), whole)
    for piece, shape in ((rows[0], (3, 6)), (halves[0], (3,)), (halves[0], ())):
        with pytest.raises(ValueError, match="pieces"):
            piece.taken(torch.ones(shape))


def test_every_layout_is_told_from_the_others_by_its_marks() -> None:
    keys = {layout.name: [k.replace("{", "").replace("}", "") for k in layout.marks] for layout in LAYOUTS}
    numbered = {name: [re.sub(r"\b[a-z]\b(?=\.)", "0", k) for k in marks] for name, marks in keys.items()}
    for layout in LAYOUTS:
        assert [x.name for x in LAYOUTS if x.recognises(numbered[layout.name])] == [layout.name]


def test_numbers_that_are_none_are_loaded_and_told() -> None:
    weights = _official(_model())
    weights["norm_f.weight"][3] = float("nan")
    weights["layers.0.norm.weight"] = torch.full((32,), 1e9, dtype=torch.float64)
    report = archdsl.load_weights(_model(), weights)
    assert report.complete
    assert report.not_finite == ("head.norm.weight",)
    assert str(report).splitlines()[1:] == ["  warning: infinite or not a number: head.norm.weight"]
    narrow = archdsl.load_weights(_model().half(), weights)
    assert set(narrow.not_finite) == {"head.norm.weight", "stages.trunk.blocks.0.residual.norm.weight"}
    assert archdsl.load_weights(_model(), _official(_model())).not_finite == ()


@pytest.mark.parametrize(
    ("change", "why"), [(Tensor.to_sparse, "sparse"), (lambda t: t.to("meta"), "storage")]
)
def test_tensors_that_cannot_be_copied_are_refused(change: Callable[[Tensor], Tensor], why: str) -> None:
    weights = _official(_model())
    weights["norm_f.weight"] = change(weights["norm_f.weight"])
    text = _refused("E503", _model(), weights)
    assert "of another kind: head.norm.weight: the checkpoint's tensor" in text
    assert why in text


def test_a_model_with_a_part_replaced_is_saved_and_loaded(tmp_path: Path) -> None:
    model, other = _model(), _model()
    for each in (model, other):
        each.get_submodule("stem").position = torch.nn.Identity()
    archdsl.save_weights(model, tmp_path / "w.safetensors")
    assert archdsl.load_weights(other, tmp_path / "w.safetensors").complete
    assert _equal(model, other)


@pytest.mark.parametrize("grid", [(2, 3), (1, 1), (4, 4)])
@pytest.mark.parametrize(
    "extras",
    [
        (),
        (Extra("class_token", 1, "end"),),
        (Extra("class_token", 2, "both"),),
        (Extra("registers", 3, "even"), Extra("class_token", 1, "middle")),
        (Extra("class_token", 1, "start"), Extra("registers", 2, "start")),
    ],
)
def test_positions_that_begin_with_those_of_extra_tokens(
    extras: tuple[Extra, ...], grid: tuple[int, int]
) -> None:
    tokens = Stream(torch.empty(0), grid, extras).tokens
    table = torch.randn(1, tokens, 2)
    ours = in_sequence(table, extras)
    assert torch.equal(extras_first(ours, extras), table)
    patches, others = Stream(ours, grid, extras).take_apart()
    kinds = {extra.kind: rows for extra, rows in zip(extras, others, strict=True)}
    theirs = [kinds[kind] for kind in ("class_token", "registers") if kind in kinds]
    assert torch.equal(torch.cat([*theirs, patches], 1), table)
