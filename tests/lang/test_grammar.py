"""The grammars are LALR(1) without conflicts, and their tables are cached where only the user can write."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import lark
import pytest

from archdsl.lang.grammar import ARCH, SEARCH, build, private_cache

PARSE = (
    "import sys; from archdsl.diagnostics import Source; from archdsl.lang import parse, parse_search;"
    "parse(Source('f', 'let a = 4 x b'));"
    "'search' in sys.argv and parse_search(Source('f', 'search a { vary { b in 1 .. 2 } }'));"
    "print(sorted({'torch', 'networkx', 'pydantic', 'archdsl.lang.mistakes'} & set(sys.modules)))"
)


def run(cache: Path, *words: str) -> str:
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PARSE, *words], env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", [ARCH, SEARCH])
def test_no_conflicts(name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lark.logger, "propagate", True)
    with caplog.at_level(logging.DEBUG, logger=lark.logger.name):
        build(None, name, debug=True)
    assert [r.getMessage() for r in caplog.records if "onflict" in r.getMessage()] == []


@pytest.mark.parametrize("name", [ARCH, SEARCH])
def test_every_rule_and_terminal_of_values_is_imported(name: str) -> None:
    parser = build(None, name)
    named = [str(t.name) for t in parser.terminals] + [str(r.origin.name) for r in parser.rules]
    assert [n for n in named if "values" in n] == []


def test_tables_are_cached_and_parsing_loads_little(tmp_path: Path) -> None:
    assert run(tmp_path) == "[]\n"
    (kept,) = (tmp_path / "archdsl").iterdir()
    written = kept.stat().st_mtime_ns
    assert (tmp_path / "archdsl").stat().st_mode & 0o077 == 0
    assert run(tmp_path) == "[]\n"
    assert kept.stat().st_mtime_ns == written
    assert list((tmp_path / "archdsl").iterdir()) == [kept]


def test_each_grammar_has_tables_of_its_own(tmp_path: Path) -> None:
    run(tmp_path)
    (first,) = (tmp_path / "archdsl").iterdir()
    assert run(tmp_path, "search") == "[]\n"
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "archdsl").iterdir()}
    assert len(kept) == 2
    assert first in kept
    assert run(tmp_path, "search") == "[]\n"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "archdsl").iterdir()} == kept


@pytest.mark.parametrize("content", [b"", b"nonsense", b"0" * 64 + b"\nnonsense"])
def test_broken_tables_are_built_anew(tmp_path: Path, content: bytes) -> None:
    run(tmp_path)
    (kept,) = (tmp_path / "archdsl").iterdir()
    kept.write_bytes(content)
    assert run(tmp_path) == "[]\n"


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_folder_that_others_can_write_to_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = private_cache()
    assert folder == tmp_path / "archdsl"
    folder.chmod(0o777)
    assert private_cache() is None
    run(tmp_path)
    assert list(folder.iterdir()) == []
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert private_cache() is None


def test_no_folder_at_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file") == "[]\n"
