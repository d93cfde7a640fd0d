"""What holds for every file of the repository."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = {".py", ".arch", ".search", ".lark", ".md", ".toml", ".txt", ".json", ".err", ".cfg", ""}
MB = 1_000_000


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _texts() -> list[tuple[str, str]]:
    out = []
    for path in _tracked():
        if path.suffix in TEXT and path != Path(__file__):
            try:
                out.append((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                assert path.is_relative_to(ROOT / "tests"), f"{path} is not UTF-8"
    assert len(out) > 30
    return out


def _found(pattern: str, texts: list[tuple[str, str]]) -> list[str]:
    rule = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts
        for number, line in enumerate(text.splitlines(), 1)
        if rule.search(line)
    ]


def test_no_host_names_of_registries() -> None:
    assert not _found(
        r"pypi\.(org|python)|pythonhosted\.|download\.pytorch|index-url|find-links|conda\.", _texts()
    )


def test_nothing_is_left_to_do_later() -> None:
    assert not _found(r"\b(TODO|FIXME|XXX)\b", _texts())


def test_no_paths_outside_the_repository() -> None:
    assert not _found(r"(?<![\w.])/work/|\.\./shared", _texts())


def test_no_banners() -> None:
    code = [(n, t) for n, t in _texts() if n.endswith((".py", ".arch", ".search", ".lark"))]
    assert not _found(r"^\s*(#|//)\s*[-=#*]{4,}", code)


def test_no_large_files() -> None:
    large = [p.relative_to(ROOT).as_posix() for p in _tracked() if p.stat().st_size > 2 * MB]
    assert not large


def test_test_data_stays_small() -> None:
    data = ROOT / "tests" / "data"
    assert sum(p.stat().st_size for p in _tracked() if p.is_relative_to(data)) <= 25 * MB


def test_no_long_modules() -> None:
    long = {
        p.relative_to(ROOT).as_posix(): n
        for p in sorted((ROOT / "archdsl").rglob("*.py"))
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > 350
    }
    assert not long


def test_the_specs_are_formatted() -> None:
    specs = [*sorted((ROOT / "specs").rglob("*.arch")), *sorted((ROOT / "search").glob("*.search"))]
    assert len(specs) >= 10
    done = subprocess.run(
        [sys.executable, "-m", "archdsl", "fmt", "--check", *map(str, specs)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_shipped() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    data = {"archdsl.grammars", "archdsl.specs", "archdsl.searches"}
    there = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "archdsl").rglob("*.py")}
    assert set(listed) == there | data


def test_every_requirement_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["digits"], *extras["ray"]]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    pinned = {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
    assert {re.split(r"[^\w-]", w)[0].lower() for w in wanted} <= pinned


def test_the_photograph_is_credited() -> None:
    images = ROOT / "docs" / "images"
    credit = (images / "README.md").read_text()
    for photo in [*images.glob("*.jpg"), *images.glob("*.png")]:
        assert photo.name in credit
        assert photo.stat().st_size <= 0.15 * MB
