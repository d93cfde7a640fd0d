"""What the package imports is what it declares."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DISTRIBUTION = {"PIL": "pillow"}
ONLY_FOR_DEVELOPERS = {Path("archdsl/testing.py"): {"hypothesis"}}


def _imported(path: Path) -> set[str]:
    """Names of the packages that a file imports anywhere, its own and the standard library's left out."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"archdsl"}


def test_everything_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[<>=\[ ]", d, maxsplit=1)[0].lower() for d in project["dependencies"]}
    files = sorted((ROOT / "archdsl").rglob("*.py"))
    assert len(files) > 100
    undeclared = {
        (str(path.relative_to(ROOT)), name)
        for path in files
        for name in _imported(path) - ONLY_FOR_DEVELOPERS.get(path.relative_to(ROOT), set())
        if DISTRIBUTION.get(name, name).lower() not in declared
    }
    assert not undeclared


def test_every_pin_is_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 30
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", pin) for pin in pins)
