"""What the documentation shows is true: its code runs, its specs are right, its commands print just that."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

import archdsl
from archdsl.diagnostics import CATALOGUE
from archdsl.diagnostics.reference import markdown
from archdsl.graph.views.families import markdown as families
from archdsl.nas.read import check_search
from archdsl.ops._reference import markdown as operators

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = ("python", "arch", "console")
FILES = {"arch": archdsl.check, "search": check_search}
UNITS = ("us", "ms", "s", "min")


class Block(NamedTuple):
    """A fenced block: language, file name (```arch mine.arch), line, text."""

    language: str
    file: str
    line: int
    text: str


def _blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w+) *([\w./]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1], found[2], text[: found.start()].count("\n") + 1, found[3])


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _pattern(expected: str) -> str:
    """A regular expression for what is printed: spaces and times vary, a line `...` stands for any lines.

    Whether oneDNN multiplies depends on the processor.
    """
    out = []
    for line in expected.strip().splitlines():
        if line.strip() == "...":
            out.append(r"(.*\n)*")
            continue
        words = ["─+" if set(word) == {"─"} else re.escape(word) for word in line.split()]
        for i, unit in enumerate(words):
            if i and unit in UNITS:
                words[i - 1 : i + 1] = [r"[\d.,]+", f"({'|'.join(UNITS)})"]
        joined = r"\s+".join(words).replace(r"onednn,\s+", r"(onednn,\s+)?")
        out.append(r"\s*" + joined + r"\s*\n")
    return "".join(out)


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands behind `$` of a console block, each with the output shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_what_a_document_shows_is_true(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(_blocks(document)):
        where = f"{_name(document)}:{block.line}"
        match block.language:
            case "text" if block.file:
                (tmp_path / block.file).write_text(block.text)
            case "arch" | "search":
                file = tmp_path / (block.file or f"block_{number}.{block.language}")
                file.write_text(block.text)
                assert FILES[block.language](file) == [], where
            case "python":
                exec(compile("\n" * block.line + block.text, str(document), "exec"), namespace)
            case "console":
                for command, expected in _commands(block.text):
                    _try(command, expected, where)


def _try(command: str, expected: str, where: str) -> None:
    program, *arguments = shlex.split(command)
    if program != "archdsl":
        return
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "archdsl", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout, f"{where}: {command}\n{done.stdout}"
    if expected.strip():
        printed = "\n".join(line for line in done.stdout.splitlines() if line.strip()) + "\n"
        wanted = "\n".join(line for line in expected.splitlines() if line.strip())
        assert re.fullmatch(_pattern(wanted), printed), f"{where}: {command} prints\n{done.stdout}"
    else:
        assert done.returncode == 0, f"{where}: {command}\n{done.stdout}"


def test_the_documents_show_something() -> None:
    shown = {(d.name, b.language) for d in DOCUMENTS for b in _blocks(d)}
    assert {("README.md", language) for language in SHOWN} <= shown
    assert {("language.md", "arch"), ("language.md", "search")} <= shown


def _modules_with_doctests() -> list[str]:
    out = []
    for path in sorted((ROOT / "archdsl").rglob("*.py")):
        if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE):
            parts = path.relative_to(ROOT).with_suffix("").parts
            out.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return out


def test_there_are_doctests() -> None:
    assert len(_modules_with_doctests()) >= 3


@pytest.mark.parametrize("name", _modules_with_doctests())
def test_doctests(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module(name)
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    written = len(re.findall(r"^\s*>>> ", source, re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert done.failed == 0
    assert done.attempted == written, "an example stands where doctest does not look"


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{_name(document)} links to {target}"


def test_the_operators_are_those_of_the_registry() -> None:
    assert (ROOT / "docs" / "operators.md").read_text(encoding="utf-8") == operators(), (
        "write it anew: make docs"
    )


def test_the_codes_are_those_of_the_catalogue() -> None:
    assert (ROOT / "docs" / "codes.md").read_text(encoding="utf-8") == markdown(CATALOGUE), (
        "write it anew: make docs"
    )


def test_the_families_are_counted_and_compared_anew() -> None:
    assert (ROOT / "docs" / "families.md").read_text(encoding="utf-8") == families(), (
        "write it anew: make docs"
    )


def test_the_picture_is_what_the_command_draws() -> None:
    drawn = (ROOT / "docs" / "images" / "hybrid.svg").read_text(encoding="utf-8")
    assert drawn == archdsl.load("hybrid").to_svg()
