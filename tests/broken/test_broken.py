"""Specs and searches as users write them on a bad day: each is refused with the text that stands beside it.

`UPDATE_ERR=1 pytest tests/broken` writes the texts anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import Diagnostic
from archdsl.diagnostics.render import render
from archdsl.nas.read import check_search

HERE = Path(__file__).parent
SPECS = sorted(HERE.glob("[0-9]*.arch"))
SEARCHES = sorted(HERE.glob("[0-9]*.search"))
BOTH = sorted([*SPECS, *SEARCHES])


def check(name: str) -> list[Diagnostic]:
    """What is wrong with a file of the current folder."""
    return check_search(name) if name.endswith(".search") else archdsl.check(name)


@pytest.mark.parametrize("spec", BOTH, ids=lambda p: p.stem)
def test_refused_with_the_expected_text(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    text = "\n".join(render(d) for d in check(spec.name))
    golden = spec.with_suffix(".err")
    if os.environ.get("UPDATE_ERR"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", BOTH, ids=lambda p: p.stem)
def test_the_expected_text_says_what_where_and_what_next(spec: Path) -> None:
    told = spec.with_suffix(".err").read_text(encoding="utf-8").split("\n\n")
    for text in told:
        assert re.match(r"(error|warning)\[E[1-4]\d\d\]: [^A-Z.]", text)
        assert re.search(r"^ +--> [\w/]+\.(arch|search):\d+:\d+$", text, re.MULTILINE)
        assert re.search(r"^ +\| +\^+ \S", text, re.MULTILINE)
        assert re.search(r"^ += help: \S", text, re.MULTILINE)
        assert len(re.findall(r"^\w+\[E", text, re.MULTILINE)) == 1
    assert any(text.startswith("error[") for text in told)


def test_there_are_many() -> None:
    assert len(SPECS) >= 60
    assert len(SEARCHES) >= 100
    assert sorted(p.stem for p in HERE.glob("*.err")) == sorted(p.stem for p in BOTH)
