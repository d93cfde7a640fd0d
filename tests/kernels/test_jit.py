"""Compiled kernels are kept in files, and trouble with files never reaches the caller.

The processes see a package `archdsl.kernels` of a few files, so that they need no torch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).parents[2] / "archdsl" / "kernels"

SCALED = """
from archdsl.kernels.jit import kernel
from archdsl.kernels.factor import FACTOR, factor

@kernel
def inner(x):
    return x * FACTOR

def more(by):
    @kernel
    def scaled(first, last, values):
        for i in range(first, last):
            values[i] = inner(values[i]) * factor() + by
    return scaled

scaled, scaled_more = more(0.0), more(100.0)
"""
FACTORS = """
from numba.extending import register_jitable

FACTOR = 2.0

@register_jitable
def factor():
    return 10.0
"""
PROGRAM = """
import sys
from archdsl.kernels import jit
assert "numba" not in sys.modules
import numpy
from archdsl.kernels.scaled import scaled, scaled_more
results = []
for kernel in (scaled, scaled_more):
    values = numpy.ones(3)
    kernel(0, 2, values)
    results += values.tolist()
compiled = sum(sum(k.dispatcher.stats.cache_misses.values()) for k in (scaled, scaled_more))
print(results, compiled)
"""
BROKEN = """
from pathlib import Path
import numpy
from archdsl.kernels.jit import Kernel
from archdsl.kernels.scaled import scaled, scaled_more

def misses(kernel):
    fresh, values = Kernel(kernel.function), numpy.ones(3)
    fresh(0, 2, values)
    assert values.tolist() == [20.0, 20.0, 1.0] if kernel is scaled else [120.0, 120.0, 1.0]
    return sum(fresh.dispatcher.stats.cache_misses.values())

folder = Path(CACHE, "archdsl", "kernels")
assert misses(scaled) == 1
[file] = folder.glob("scaled-*")
assert misses(scaled_more) == 1
[other] = {*folder.glob("scaled-*")} - {file}
content = file.read_bytes()
middle = len(content) // 2
changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
for bad in (b"", content[:40], content[:-1], content + b"\\0", changed, other.read_bytes()):
    file.write_bytes(bad)
    print(misses(scaled), misses(scaled), misses(scaled_more))
"""
KEPT = """
import sys
from archdsl.kernels import cache
print(cache.write("name", b"content"), cache.read("name"))
assert "numba" not in sys.modules
"""
RIGHT = [20.0, 20.0, 1.0, 120.0, 120.0, 1.0]


class Installation:
    """A small archdsl in a folder, and places for its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kernels = folder / "archdsl" / "kernels"
        self.kernels.mkdir(parents=True)
        for name in ("jit.py", "cache.py"):
            shutil.copy(KERNELS / name, self.kernels)
        for path in (self.kernels.parent / "__init__.py", self.kernels / "__init__.py"):
            path.touch()
        (self.kernels / "scaled.py").write_text(SCALED)
        (self.kernels / "factor.py").write_text(FACTORS)
        self.cache = folder / "cache"

    def files(self) -> list[Path]:
        return sorted(p for p in self.cache.rglob("*") if p.is_file())

    def start(self, program: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG", "HOME", "PYTHON"))}
        return subprocess.Popen(
            [sys.executable, *options, "-c", program],
            cwd=self.folder,
            env=kept | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: str = PROGRAM, *options: str, **environment: str) -> tuple[str, str]:
        """What a process prints: results and the number of kernels it compiled; its notices."""
        process = self.start(program, *options, **environment or {"XDG_CACHE_HOME": str(self.cache)})
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        return out.strip(), err.strip()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_a_later_process_compiles_nothing_until_any_file_changes(installation: Installation) -> None:
    assert installation.run() == (f"{RIGHT} 2", "")
    assert installation.run() == (f"{RIGHT} 0", "")
    other = installation.kernels / "factor.py"
    found = other.stat()
    other.write_text(other.read_text().replace("return 10", "return 20"))
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert other.stat().st_size == found.st_size
    assert installation.run() == ("[40.0, 40.0, 1.0, 140.0, 140.0, 1.0] 2", "")
    assert installation.run(XDG_CACHE_HOME=str(installation.cache), NUMBA_CPU_NAME="generic")[0].endswith(
        " 2"
    )


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"])
def test_where_files_go(installation: Installation, variable: str) -> None:
    places = {v: str(installation.folder / v) for v in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME")}
    order = list(places)
    environment = {v: places[v] for v in order[order.index(variable) :]}
    assert installation.run(KEPT, **environment) == ("True b'content'", "")
    written = {p.relative_to(installation.folder).parts[0] for p in installation.folder.rglob("name")}
    assert written == {variable}


def test_without_a_place_it_runs_with_one_notice(installation: Installation) -> None:
    installation.run(KEPT, LANG="C")
    assert [*installation.kernels.glob("__pycache__/archdsl/kernels/name")]
    shutil.rmtree(installation.kernels / "__pycache__")
    (installation.kernels / "__pycache__").touch()
    out, err = installation.run(PROGRAM, "-W", "error", LANG="C")
    assert out == f"{RIGHT} 2"
    assert "kernels can't be kept" in err
    assert "NUMBA_CACHE_DIR" in err
    assert err.count("\n") == 0
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/x", "NUMBA_CACHE_DIR": "/proc/1/x"}
    out, err = installation.run(KEPT, **nowhere)
    assert out == "False None"
    assert err.count("\n") == 0


def test_a_full_disk_is_no_error(installation: Installation) -> None:
    (installation.kernels / "__pycache__").touch()
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    out, err = installation.run(limit + PROGRAM)
    assert out == f"{RIGHT} 2"
    assert err.count("can't be kept") == 1
    assert "File too large" in err
    assert installation.files() == []


def test_broken_files_are_not_loaded(installation: Installation) -> None:
    program = f"CACHE = {str(installation.cache)!r}" + BROKEN
    assert installation.run(program) == ("\n".join(["1 0 0"] * 6), "")


def test_processes_that_write_at_once(installation: Installation) -> None:
    processes = [installation.start(PROGRAM, XDG_CACHE_HOME=str(installation.cache)) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert out.startswith(str(RIGHT)), err
        assert err == ""
    assert installation.run() == (f"{RIGHT} 0", "")
    assert not [p for p in installation.files() if p.suffix == ".part"]


def test_a_folder_that_others_write_to_is_not_trusted(installation: Installation) -> None:
    (installation.kernels / "__pycache__").touch()
    installation.run(KEPT)
    installation.files()[0].parent.chmod(0o777)
    out, err = installation.run(KEPT)
    assert out == "False None"
    assert "others can write to it" in err
