"""Imports go one way: every package of archdsl imports only packages on the floors below its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[2] / "archdsl"

GRAPH = {"diagnostics", "features", "lang", "ops", "tape"}
COMPILER = GRAPH | {"graph", "nn", "kernels"}
BELOW: dict[str, set[str]] = {
    "diagnostics": set(),
    "features": set(),
    "kernels": set(),
    "lang": {"diagnostics"},
    "ops": {"features", "tape"},
    "tape": {"features"},
    "nn": {"features", "kernels"},
    "graph": GRAPH,
    "compiler": COMPILER,
    "weights": COMPILER | {"compiler"},
    "tasks": COMPILER | {"compiler", "weights"},
    "nas": COMPILER | {"compiler", "weights", "tasks"},
    "cli": COMPILER | {"compiler", "weights", "tasks", "nas"},
}
NO_TORCH = ("diagnostics", "features", "lang", "ops", "graph", "tape")


class Import(NamedTuple):
    """One imported module, and whether importing the file imports it."""

    module: str
    line: int
    at_import: bool


def _is_for_types(node: ast.AST) -> bool:
    """Whether it is `if TYPE_CHECKING:`, which never runs."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _imports(path: Path) -> list[Import]:
    """Every module that a file imports, also through names given to import_module."""
    own = ["archdsl", *path.relative_to(PACKAGE).parent.parts]

    def visit(node: ast.AST, at_import: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            inside = at_import and not later and not _is_for_types(child)
            match child:
                case ast.Import(names=names):
                    for alias in names:
                        yield Import(alias.name, child.lineno, at_import)
                case ast.ImportFrom(module=module, names=names, level=level):
                    base = ".".join([*own[: len(own) - level + 1], module or ""]) if level else module or ""
                    for alias in names:
                        yield Import(f"{base.rstrip('.')}.{alias.name}", child.lineno, at_import)
                case ast.Call(
                    func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    yield Import(name, child.lineno, inside)
            yield from visit(child, inside)

    return list(visit(ast.parse(path.read_text(encoding="utf-8")), True))


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_every_package_has_its_floor() -> None:
    packages = {p.parent.name for p in PACKAGE.glob("*/__init__.py") if not p.parent.is_symlink()}
    assert packages == set(BELOW)


def test_imports_are_found() -> None:
    found = {i.module.split(".")[1] for f in _files() for i in _imports(f) if i.module.startswith("archdsl.")}
    assert {"diagnostics", "features", "ops", "graph", "nn"} <= found


@pytest.mark.parametrize("path", [p for p in _files() if p.parent != PACKAGE], ids=_name)
def test_imports_go_down(path: Path) -> None:
    floor = path.relative_to(PACKAGE).parts[0]
    allowed = BELOW[floor] | {floor}
    wrong = []
    for module, line, _ in _imports(path):
        parts = module.split(".")
        if parts[0] != "archdsl":
            continue
        if len(parts) == 1 or parts[1] not in BELOW:
            if floor != "cli":
                wrong.append(f"{_name(path)}:{line} imports {module}, which stands above it")
        elif parts[1] not in allowed:
            wrong.append(f"{_name(path)}:{line} imports archdsl.{parts[1]}")
    assert not wrong


@pytest.mark.parametrize("path", _files(), ids=_name)
def test_networkx_is_imported_where_it_is_used(path: Path) -> None:
    early = [i.line for i in _imports(path) if i.at_import and i.module.split(".")[0] == "networkx"]
    assert not early, f"{_name(path)} imports networkx with the module, in line {early}"


@pytest.mark.parametrize(
    "path", [p for n in NO_TORCH for p in sorted((PACKAGE / n).rglob("*.py"))], ids=_name
)
def test_no_torch_below_the_compiler(path: Path) -> None:
    torch = {"torch", "torchvision", "timm", "triton", "numba"}
    lines = [i.line for i in _imports(path) if i.module.split(".")[0] in torch]
    assert not lines, f"{_name(path)} imports torch or a package that does, in line {lines}"


def _printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def test_a_spec_is_loaded_and_counted_without_torch() -> None:
    code = (
        "import sys, archdsl\n"
        "cost = archdsl.load('mamba_r_tiny').cost()\n"
        "print(cost.params, sorted({'torch', 'networkx', 'numba', 'timm', 'rich'} & set(sys.modules)))"
    )
    assert _printed(code) == "9264232 []\n"


def test_a_model_is_built_without_the_models_of_others() -> None:
    code = (
        "import sys, archdsl\n"
        "drops = [m for m in archdsl.build('mila', device='meta').modules() if hasattr(m, 'drop_prob')]\n"
        "print(bool(drops), sorted({'timm', 'torchvision', 'sympy', 'rich'} & set(sys.modules)))"
    )
    assert _printed(code) == "True []\n"
