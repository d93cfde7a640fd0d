"""The canonical text loads to the same architecture."""

from __future__ import annotations

from pathlib import Path

import pytest

import archdsl
from archdsl.graph.library import index

NAMES = sorted(index())


@pytest.mark.parametrize("name", NAMES)
def test_loads_to_the_same(name: str, tmp_path: Path) -> None:
    architecture = archdsl.load(name)
    text = architecture.to_source()
    path = tmp_path / "canonical.arch"
    path.write_text(text, encoding="utf-8")
    again = archdsl.load(path)
    assert again.digest() == architecture.digest()
    first, second = architecture.cost(), again.cost()
    assert (second.params, second.macs, second.activation_bytes) == (
        first.params,
        first.macs,
        first.activation_bytes,
    )
    assert [s.name for s in again.stages] == [s.name for s in architecture.stages]
    assert (again.init, again.drop_path) == (architecture.init, architecture.drop_path)


@pytest.mark.parametrize("name", ["mamba_r_tiny", "mambaout_small_rw", "hybrid"])
def test_is_its_own_canonical_text(name: str, tmp_path: Path) -> None:
    text = archdsl.load(name).to_source()
    path = tmp_path / "canonical.arch"
    path.write_text(text, encoding="utf-8")
    assert archdsl.load(path).to_source() == text


def test_holds_no_definition_of_a_mixer_and_no_parameter() -> None:
    text = archdsl.load("hybrid").to_source()
    assert "mixer" not in text
    assert "arch hybrid {" in text
    assert "4 x (s3_scan + s3_window_attn + s3_window_attn_2)" in text


def test_keeps_an_image_that_is_no_square(tmp_path: Path) -> None:
    architecture = archdsl.load("mambaout_femto", image=(96, 64), classes=7)
    path = tmp_path / "canonical.arch"
    path.write_text(architecture.to_source(), encoding="utf-8")
    again = archdsl.load(path)
    assert again.image == (96, 64)
    assert again.classes == 7
    assert again.digest() == architecture.digest()


def test_keeps_windows_round_a_stage(tmp_path: Path) -> None:
    path = tmp_path / "windows.arch"
    path.write_text(
        """
        arch a(dim = 16) {
          stem = patch_embed(8, dim) -> registers(2)
          stage s { within = windows(5, pad = on, extras = copy); heads = 2; blocks = 2 x attn }
          head = pool(mean) -> linear(classes)
        }
        """,
        encoding="utf-8",
    )
    architecture = archdsl.load(path, image=(64, 96))
    path.write_text(architecture.to_source(), encoding="utf-8")
    again = archdsl.load(path)
    assert again.digest() == architecture.digest()
    assert again.stages[0].within == architecture.stages[0].within


@pytest.mark.parametrize(
    ("stage", "block", "inside"),
    [("linear", "attention", "linear_attention(4)"), ("selective", "scan", "selective_scan(4)")],
)
def test_no_block_takes_the_name_of_an_operator(stage: str, block: str, inside: str, tmp_path: Path) -> None:
    path = tmp_path / "names.arch"
    path.write_text(
        f"block {block} {{ residual {inside} }}\n"
        "arch a(dim = 16) {\n  stem = patch_embed(16, dim) -> batch_norm\n"
        f"  stage {stage} {{ blocks = {block} }}\n  head = none\n}}\n",
        encoding="utf-8",
    )
    architecture = archdsl.load(path)
    path.write_text(architecture.to_source(), encoding="utf-8")
    assert archdsl.load(path).digest() == architecture.digest()


def test_blocks_of_one_name_and_one_that_looks_numbered(tmp_path: Path) -> None:
    path = tmp_path / "numbers.arch"
    path.write_text(
        "block c(k) { residual conv2d(k) }\nblock c_2 { residual gelu }\n"
        "arch a(dim = 16) {\n  stem = patch_embed(16, dim)\n"
        "  stage s { blocks = c(3) + c_2 + c(5) }\n  head = none\n}\n",
        encoding="utf-8",
    )
    architecture = archdsl.load(path)
    path.write_text(architecture.to_source(), encoding="utf-8")
    assert archdsl.load(path).digest() == architecture.digest()


@pytest.mark.parametrize(
    "order",
    ["snake", "snake(columns)", "local(3)", "local(3, columns)", "[rows, reverse(local(2, columns))]"],
)
def test_keeps_orders(order: str, tmp_path: Path) -> None:
    architecture = archdsl.load("tiny", overrides={"s2.blocks": f"scan(order = {order})"})
    spec = tmp_path / "ordered.arch"
    spec.write_text(architecture.to_source(), encoding="utf-8")
    assert f"order = [{order.strip('[]')}]" in spec.read_text(encoding="utf-8")
    assert archdsl.load(spec).digest() == architecture.digest()


def test_keeps_combinators_with_nothing_inside(tmp_path: Path) -> None:
    spec = tmp_path / "empty.arch"
    spec.write_text(
        "arch empty(dim = 12) {\n"
        "  stem = patch_embed(16, dim)\n"
        "  stage trunk { blocks = metaformer(partial(partial(none, 4), 8) -> windowed(none, 2)) }\n"
        "  head = pool(mean) -> linear(classes)\n"
        "}\n",
        encoding="utf-8",
    )
    architecture = archdsl.load(spec)
    spec.write_text(architecture.to_source(), encoding="utf-8")
    assert archdsl.load(spec).digest() == architecture.digest()


@pytest.mark.parametrize(
    "lines",
    [
        "inner\n  residual layer_norm",
        "residual layer_norm\n  inner",
        "layer_norm -> inner -> relu",
        "inner -> layer_norm",
        "position(learned)\n  inner\n  inner",
        "residual residual(layer_norm) -> relu",
        "residual(layer_norm) -> relu",
    ],
)
def test_keeps_blocks_inside_blocks(lines: str, tmp_path: Path) -> None:
    spec = tmp_path / "nested.arch"
    spec.write_text(
        "block inner { residual layer_norm -> mlp\n  residual layer_norm }\n"
        f"block outer {{\n  {lines}\n}}\n"
        "arch nested(dim = 8) {\n  stem = patch_embed(16, dim)\n  stage s { blocks = 2 x outer }\n"
        "  head = none\n}\n"
    )
    architecture = archdsl.load(spec)
    canonical = tmp_path / "canonical.arch"
    canonical.write_text(architecture.to_source())
    assert archdsl.load(canonical).digest() == architecture.digest()
    assert archdsl.load(canonical).to_source() == architecture.to_source()
