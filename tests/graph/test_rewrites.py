"""Every line of the tables of rewrites in docs/language.md: one digest, one function, the same tensors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from same_function import assert_same_function

import archdsl
from archdsl.graph.architecture import Architecture

DOCS = Path(__file__).parents[2] / "docs" / "language.md"
SECTION = re.search(
    r"^## The same architecture\n(.*?)^## ", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
assert SECTION is not None
TEXT = SECTION[1]
SPEC = re.findall(r"```arch\n(.*?)```", TEXT, re.DOTALL)[0]
BLOCKS, PIPELINES = (
    re.findall(r"^\| ([^|]+) \| `([^|]+)` \| `([^|]+)` \|$", table, re.MULTILINE)
    for table in TEXT.split("Then pipelines")
)


def with_blocks(blocks: str, folder: Path) -> Architecture:
    path = folder / "same.arch"
    path.write_text(SPEC.replace("blocks = a ", f"blocks = {blocks} "), encoding="utf-8")
    return archdsl.load(path)


def test_the_tables_are_read() -> None:
    assert len(BLOCKS) >= 8
    assert len(PIPELINES) >= 30


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in BLOCKS], ids=[row[0] for row in BLOCKS])
def test_rewrites_of_blocks_keep_it(tmp_path: Path, one: str, other: str) -> None:
    first, second = with_blocks(one, tmp_path), with_blocks(other, tmp_path)
    assert first.digest() == second.digest()
    assert_same_function(first, second)


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in PIPELINES], ids=[row[0] for row in PIPELINES])
def test_rewrites_of_pipelines_keep_it(tmp_path: Path, one: str, other: str) -> None:
    assert one != other
    first, second = (with_blocks(f"residual({text})", tmp_path) for text in (one, other))
    assert first.digest() == second.digest()
    assert_same_function(first, second)
