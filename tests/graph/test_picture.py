"""The picture is an SVG that stands alone."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import archdsl
from archdsl.graph.views.picture_parts import REGISTER
from archdsl.graph.views.svg import Canvas, shortened, text_width

SVG = "{http://www.w3.org/2000/svg}"


def _texts(svg: str) -> list[str]:
    return ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ["mamba_r_large", "mambaout_base_plus_rw", "hybrid", "mamba_r_registers_0"])
def test_is_well_formed_and_stands_alone(name: str) -> None:
    svg = archdsl.load(name).to_svg()
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {"svg", "title", "desc", "rect", "path", "text"}
    assert svg.count("http") == 1  # the namespace
    assert not re.search(r"href|url\(|@import|<style|<script|<image", svg)


def test_everything_lies_inside() -> None:
    root = ElementTree.fromstring(archdsl.load("hybrid", image=(448, 224)).to_svg())
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for rect in root.iter(f"{SVG}rect"):
        if rect.attrib["width"] != "100%":
            assert 0 <= float(rect.attrib["x"]) <= width - float(rect.attrib["width"])
            assert 0 <= float(rect.attrib["y"]) <= height - float(rect.attrib["height"])


def test_tells_stages_repeats_and_sizes() -> None:
    texts = _texts(archdsl.load("hybrid").to_svg())
    assert {
        "hybrid",
        "stem",
        "s1",
        "s2",
        "s3",
        "s4",
        "head",
        "2 × gated_conv",
        "window_attn",
        "56 × 56",
        "×4",
    } <= set(texts)
    assert "4 registers" in " ".join(texts)


def test_every_extra_token_has_its_tick() -> None:
    svg = archdsl.load("mamba_r_tiny").to_svg()
    ticks = [
        r
        for r in ElementTree.fromstring(svg).iter(f"{SVG}rect")
        if r.attrib["fill"] == REGISTER and r.attrib["width"] == "3"
    ]
    assert len(ticks) == 2 * 12  # the stem's output and the trunk


def test_sixty_different_blocks_are_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "many.arch"
    blocks = " + ".join(f"scan(state = {n})" for n in range(1, 61))
    path.write_text(
        f"arch many(dim = 32) {{ stem = patch_embed(16, dim); stage s {{ blocks = {blocks} }}\n"
        "head = pool(mean) -> linear(classes) }",
        encoding="utf-8",
    )
    svg = archdsl.load(path).to_svg()
    assert "and 46 more" in _texts(svg)
    assert float(ElementTree.fromstring(svg).attrib["height"]) < 1500


def test_text_is_escaped_and_shortened() -> None:
    canvas = Canvas()
    canvas.text(0, 0, 'a < b & "c"')
    root = ElementTree.fromstring(canvas.document(10, 10, "<t>", "&"))
    assert [e.text for e in root.iter(f"{SVG}text")] == ['a < b & "c"']
    short = shortened("a very long name of a block", 12, 80)
    assert short.endswith("…")
    assert text_width(short, 12) <= 80
