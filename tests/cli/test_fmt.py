"""`archdsl fmt`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

UNTIDY = "arch a( dim=32 ){\n  stem = patch_embed(16,dim)\n   stage s { blocks=2 x scan }\n head = none\n}\n"


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    path = tmp_path / "untidy.arch"
    path.write_text(UNTIDY, encoding="utf-8")
    path.chmod(0o640)
    return path


def test_rewrites_in_place_once(archdsl: Any, untidy: Path) -> None:
    done = archdsl("fmt", untidy)
    assert done.status == 0
    assert done.out == f"changed {untidy}\n1 file changed\n"
    first = untidy.read_text(encoding="utf-8")
    assert "blocks = 2 x scan" in first
    assert stat.S_IMODE(untidy.stat().st_mode) == 0o640
    assert archdsl("fmt", untidy).out == "1 file unchanged\n"
    assert untidy.read_text(encoding="utf-8") == first
    assert os.listdir(untidy.parent) == ["untidy.arch"]


def test_check_writes_nothing_and_fails(archdsl: Any, untidy: Path) -> None:
    done = archdsl("fmt", "--check", untidy)
    assert done.status == 1
    assert f"would change {untidy}" in done.out
    assert untidy.read_text(encoding="utf-8") == UNTIDY
    archdsl("fmt", untidy)
    assert archdsl("fmt", "--check", untidy).status == 0


def test_searches_are_formatted_too(archdsl: Any, tmp_path: Path) -> None:
    (tmp_path / "a.search").write_text("search a{ vary{s1.heads in 1..4} }", encoding="utf-8")
    (tmp_path / "b.arch").write_text("let a=1", encoding="utf-8")
    done = archdsl("fmt", tmp_path)
    assert done.out.endswith("2 files changed\n")
    assert (tmp_path / "a.search").read_text(encoding="utf-8") == "search a { vary { s1.heads in 1 .. 4 } }\n"
    assert archdsl("fmt", tmp_path / "a.search").out == "1 file unchanged\n"


def test_diff_is_a_patch_on_stdout(archdsl: Any, untidy: Path) -> None:
    done = archdsl("fmt", "--diff", untidy)
    assert done.status == 1
    assert done.out.startswith(f"--- {untidy}\n+++ ")
    assert "-   stage s { blocks=2 x scan }\n" in done.out
    assert untidy.read_text(encoding="utf-8") == UNTIDY


def test_a_file_that_does_not_parse_is_left_alone_and_the_others_are_formatted(
    archdsl: Any, untidy: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.arch"
    wrong.write_text("arch {", encoding="utf-8")
    done = archdsl("fmt", wrong, untidy)
    assert done.status == 2
    assert "error[E10" in done.err
    assert wrong.read_text(encoding="utf-8") == "arch {"
    assert untidy.read_text(encoding="utf-8") != UNTIDY


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(archdsl: Any, untidy: Path) -> None:
    untidy.parent.chmod(0o500)
    try:
        done = archdsl("fmt", untidy)
    finally:
        untidy.parent.chmod(0o700)
    assert done.status == 2
    assert done.err.startswith("error[E508]")
