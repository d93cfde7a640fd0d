"""Specs as users write them on a bad day: each is refused with the text that stands beside it.

`UPDATE_ERR=1 pytest tests/broken` writes the texts anew; read the difference before you keep it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics.render import render

HERE = Path(__file__).parent
SPECS = sorted(HERE.glob("[0-9]*.arch"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda p: p.stem)
def test_refused_with_the_expected_text(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    text = "\n".join(render(d) for d in archdsl.check(spec.name))
    golden = spec.with_suffix(".err")
    if os.environ.get("UPDATE_ERR"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("spec", SPECS, ids=lambda p: p.stem)
def test_the_expected_text_says_what_where_and_what_next(spec: Path) -> None:
    told = spec.with_suffix(".err").read_text(encoding="utf-8").split("\n\n")
    for text in told:
        assert re.match(r"error\[E[123]\d\d\]: [^A-Z.]", text)
        assert re.search(r"^ +--> [\w/]+\.arch:\d+:\d+$", text, re.MULTILINE)
        assert re.search(r"^ +\| +\^+ \S", text, re.MULTILINE)
        assert re.search(r"^ += help: \S", text, re.MULTILINE)
        assert text.count("error[") == 1


def test_there_are_sixty() -> None:
    assert len(SPECS) >= 60
    assert sorted(p.stem for p in HERE.glob("*.err")) == [p.stem for p in SPECS]
