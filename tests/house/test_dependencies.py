"""What the package imports is what it declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTION = {"PIL": "pillow", "sklearn": "scikit-learn"}
ONLY_FOR_DEVELOPERS = {Path("archdsl/testing.py"): {"hypothesis"}}


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", r, maxsplit=1)[0].lower() for r in requirements}


def _distribution(package: str) -> str:
    return DISTRIBUTION.get(package, package).lower().replace("_", "-")


def _files() -> list[Path]:
    return sorted((ROOT / "archdsl").rglob("*.py"))


def _imported(path: Path) -> set[str]:
    """Names of the packages that a file imports anywhere, its own and the standard library's left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"archdsl"}


def _needed(path: Path) -> Iterator[tuple[str, str]]:
    """Packages asked for with `need("sklearn.datasets", "digits")`, each with the extra that is named."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(
                func=ast.Name(id="need") | ast.Attribute(attr="need"),
                args=[ast.Constant(value=str(module)), ast.Constant(value=str(extra))],
            ):
                yield module.partition(".")[0], extra


def test_everything_imported_is_declared() -> None:
    extras = _project()["optional-dependencies"]
    optional = [r for extra, requirements in extras.items() if extra != "dev" for r in requirements]
    declared = _names([*_project()["dependencies"], *optional])
    assert len(_files()) > 100
    undeclared = {
        (str(path.relative_to(ROOT)), name)
        for path in _files()
        for name in _imported(path) - ONLY_FOR_DEVELOPERS.get(path.relative_to(ROOT), set())
        if _distribution(name) not in declared
    }
    assert not undeclared


@pytest.mark.parametrize("path", _files(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_what_is_asked_for_comes_with_the_extra_that_is_named(path: Path) -> None:
    extras = _project()["optional-dependencies"]
    for package, extra in _needed(path):
        assert _distribution(package) in _names(extras.get(extra, [])), f"{package} is not in `{extra}`"


def test_every_pin_is_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 30
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", pin) for pin in pins)
