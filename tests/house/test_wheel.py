"""The package as users get it: wheel, source archive, editable install, each in an environment of its own."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = {
    "archdsl/py.typed",
    "archdsl/grammars/__init__.py",
    "archdsl/grammars/arch.lark",
    "archdsl/grammars/values.lark",
    "archdsl/searches/__init__.py",
    "archdsl/graph/devices.toml",
    "archdsl/specs/__init__.py",
    "archdsl/specs/prelude.arch",
    "archdsl/specs/mamba_r.arch",
    "archdsl/specs/mambaout.arch",
    "archdsl/specs/hybrid.arch",
    "archdsl/specs/tiny.arch",
    "archdsl/searches/hybrid_stages.search",
    "archdsl/searches/registers.search",
    "archdsl/searches/tiny_cpu.search",
    "archdsl/specs/ablations/mamba_r.arch",
    "archdsl/specs/ablations/mambaout.arch",
}
MINE = """\
use "mamba_r.arch"

arch mine = mamba_r_tiny(depth = 2, registers = 4)
"""


def _run(*command: str | Path, cwd: Path) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build reads, so that nothing is written into the checkout."""
    copy = tmp_path_factory.mktemp("source") / "archdsl"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("archdsl", "grammars", "specs", "search"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source archive and the wheel built from it."""
    out = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source, cwd=out)
    return out


def _environment(folder: Path) -> Path:
    """The python of a new environment that sees the dependencies, but no archdsl."""
    _run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder / "bin" / "python"


def _install(python: Path, *what: str | Path) -> None:
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    _run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=python.parent)


def _try(python: Path, folder: Path) -> None:
    """Uses the installed package from a folder that holds nothing but a spec of the user's."""
    folder.mkdir()
    (folder / "mine.arch").write_text(MINE)
    archdsl = python.parent / "archdsl"
    _run(archdsl, "check", "mine.arch", cwd=folder)
    assert "9,264,232" in _run(archdsl, "cost", "mamba_r_tiny", cwd=folder)
    code = (
        "import archdsl\n"
        "a = archdsl.load('mine.arch')\n"
        "print(archdsl.__file__, a.cost().params, archdsl.load('mambaout_femto').cost().params)"
    )
    where, *numbers = _run(python, "-c", code, cwd=folder).split()
    assert not Path(where).is_relative_to(ROOT)
    assert numbers == ["1520104", "7304536"]


def test_the_wheel_holds_code_and_data(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    code = {p.relative_to(ROOT).as_posix() for p in (ROOT / "archdsl").rglob("*.py")}
    assert names >= SHIPPED | code
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"archdsl"}


def test_the_source_archive_holds_what_the_build_needs(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {n.partition("/")[2] for n in opened.getnames()}
    assert names >= {"pyproject.toml", "README.md", "LICENSE", "specs/prelude.arch", "grammars/arch.lark"}


def test_the_wheel_works_anywhere(built: Path, tmp_path: Path) -> None:
    python = _environment(tmp_path / "env")
    _install(python, *built.glob("*.whl"))
    _try(python, tmp_path / "elsewhere")


def test_an_editable_install_works_anywhere(source: Path, tmp_path: Path) -> None:
    python = _environment(tmp_path / "env")
    _install(python, "--editable", source)
    _try(python, tmp_path / "elsewhere")
