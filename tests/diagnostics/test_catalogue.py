"""The catalogue is complete, and its examples are what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import archdsl
from archdsl.diagnostics import CATALOGUE, Diagnostic, Severity
from archdsl.nas.read import check_search

ROOT = Path(__file__).parents[2]
TEXTS = [code for code, rule in CATALOGUE.items() if not rule.wrong.startswith("archdsl ")]
STEM, STAGE = "stem = patch_embed(16, dim)", "stage trunk { blocks = 4 x scan }"
SEARCH = (
    "arch = mambaout_femto(dims = [8, 8, 8, 8], depths = [1, 1, 1, 1], image = 64)",
    "task = digits(epochs = 20)",
    "maximize = accuracy",
    "vary { expand in one_of(2, 3) }",
    "budget = trials(2)",
)
HEAD = "head = layer_norm -> pool(mean) -> linear(classes)"


def whole(example: str) -> str:
    """The example as a file: lines of an arch get what they lack."""
    if re.search(r"^arch ", example, re.MULTILINE):
        return example + "\n"
    definitions, _, lines = example.rpartition("\n\n")
    given = {line.split()[0] for line in lines.splitlines()}
    body = "\n".join([line for line in (STEM, STAGE, HEAD) if line.split()[0] not in given] + [lines])
    return f"{definitions}\narch example(dim = 64) {{\n{body}\n}}\n"


def whole_search(example: str) -> str:
    """The example as a `.search` file: lines of a search get what they lack."""
    if example.startswith("search "):
        return example + "\n"
    given = {line.split()[0] for line in example.splitlines()}
    lines = [line for line in SEARCH if line.split()[0] not in given]
    return "\n".join(["search example {", *lines, *example.splitlines(), "}\n"])


def checked(folder: Path, code: str, example: str) -> list[Diagnostic]:
    if code.startswith("E4"):
        (folder / "example.search").write_text(whole_search(example))
        return check_search(folder / "example.search")
    for name in ("mine", "yours"):
        (folder / f"{name}.arch").write_text("mixer halve(dim) = conv2d(3, dim, stride = 2)\n")
    spec = folder / "example.arch"
    spec.write_text(whole(example))
    return archdsl.check(spec)


@pytest.mark.parametrize("code", TEXTS)
def test_wrong_is_told_so(code: str, tmp_path: Path) -> None:
    assert {d.code for d in checked(tmp_path, code, CATALOGUE[code].wrong)} == {code}


@pytest.mark.parametrize("code", TEXTS)
def test_right_is_clean(code: str, tmp_path: Path) -> None:
    assert [
        d.message for d in checked(tmp_path, code, CATALOGUE[code].right) if d.severity is Severity.ERROR
    ] == []


@pytest.mark.parametrize("code", CATALOGUE)
def test_rules_read_well(code: str) -> None:
    rule = CATALOGUE[code]
    assert re.fullmatch(r"E[1-5]\d\d", code)
    assert re.fullmatch(r"[A-Z][^.\n]{8,80}", rule.title)
    assert rule.explanation.endswith((".", ")."))
    assert rule.wrong != rule.right


def test_the_codes_are_those_that_are_raised() -> None:
    files = [p for p in (ROOT / "archdsl").rglob("*.py") if p.parent.name != "catalogue"]
    raised = {code for p in files for code in re.findall(r'"(E[1-5]\d\d)"', p.read_text(encoding="utf-8"))}
    assert raised == set(CATALOGUE)


def test_no_code_is_defined_twice() -> None:
    files = (ROOT / "archdsl" / "diagnostics" / "catalogue").glob("*.py")
    codes = [code for file in files for code in re.findall(r'^    "(E\d+)": Rule', file.read_text(), re.M)]
    assert sorted(codes) == sorted(CATALOGUE)
