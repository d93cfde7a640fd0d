"""`archdsl bench models` and `archdsl bench train`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from archdsl.cli.bench.memory import most_bytes
from archdsl.cli.bench.networks import WAYS, one_step
from archdsl.cli.bench.peers import loop_kernel
from archdsl.kernels.selective_scan import LADDER

SPEC = """\
arch small(dim = 32) {
  stem = patch_embed(16, dim)
  stage s1 { blocks = 2 x scan(order = both, state = 4) }
  head = pool(mean) -> linear(classes)
}
"""


@pytest.fixture(autouse=True, scope="module")
def threads() -> Iterator[None]:
    """The commands set torch's threads for the whole process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def spec(tmp_path: Path) -> str:
    """A file with one small architecture."""
    path = tmp_path / "small.arch"
    path.write_text(SPEC, encoding="utf-8")
    return str(path)


def _rows(out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    results = json.loads(out.read_text(encoding="utf-8"))
    return results, results["models"][0]


def test_models_are_run_in_every_way(archdsl: Any, spec: str, tmp_path: Path) -> None:
    out, svg = tmp_path / "models.json", tmp_path / "models.svg"
    done = archdsl("bench", "models", spec, "--quick", "--batch", 2, "--out", out, "--svg", svg)
    assert done.status == 0, done.err
    results, row = _rows(out)
    assert set(row["milliseconds"]) == set(WAYS)
    assert row["batch"] == 2
    for name, time in row["milliseconds"].items():
        assert row["images_per_second"][name] == pytest.approx(2e3 / time["median"], rel=0.01)
        assert f">{name}<" in svg.read_text(encoding="utf-8")
    assert {"date", "machine", "versions", "threads", "rounds", "against"} <= set(results)


def test_steps_of_training_are_run_in_every_way(archdsl: Any, spec: str, tmp_path: Path) -> None:
    out = tmp_path / "train.json"
    done = archdsl("bench", "train", spec, "--quick", "--no-memory", "--out", out)
    assert done.status == 0, done.err
    _, row = _rows(out)
    assert set(row["milliseconds"]) == set(WAYS)
    assert "peak_bytes" not in row


def test_memory_of_a_step_is_told(spec: str) -> None:
    before, most = one_step(spec, 1, "torch loop", None, 1)
    assert 2**20 < before <= most


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process counts its own memory only")
def test_memory_of_the_process_that_starts_another_is_not_counted() -> None:
    ballast = bytearray(b"1") * most_bytes()
    code = "from archdsl.cli.bench.memory import most_bytes; print(most_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(ballast)


@pytest.mark.slow
def test_memory_is_that_of_a_process_for_each_way(archdsl: Any, spec: str, tmp_path: Path) -> None:
    out = tmp_path / "train.json"
    done = archdsl("bench", "train", spec, "--quick", "--batch", 64, "--out", out)
    assert done.status == 0, done.err
    _, row = _rows(out)
    assert set(row["peak_bytes"]) == set(WAYS)
    assert all(row["bytes_before_the_step"][n] < most for n, most in row["peak_bytes"].items())


def test_a_model_that_timm_has_runs_beside_it(archdsl: Any, tmp_path: Path) -> None:
    out = tmp_path / "models.json"
    done = archdsl("bench", "models", "vit_ti", "--quick", "--image", 32, "--out", out)
    assert done.status == 0, done.err
    assert set(_rows(out)[1]["milliseconds"]) == {"archdsl", "timm"}


@pytest.mark.parametrize("layout", ["bld", "bdl"])
@pytest.mark.parametrize("name", [loop_kernel.STEPS, loop_kernel.RUNS])
def test_the_loops_prove_themselves_on_the_ladder(name: str, layout: str) -> None:
    with LADDER.with_candidates(*loop_kernel.candidates()):
        call = LADDER.typical("cpu", torch.float32, layout)
        assert LADDER.choose(call, name).name == name
        assert LADDER.choose(call).name != name


def test_a_model_without_the_right_channels_is_refused(archdsl: Any, tmp_path: Path) -> None:
    path = tmp_path / "grey.arch"
    path.write_text(SPEC.replace("head =", "channels = 1\n  head ="), encoding="utf-8")
    done = archdsl("bench", "models", path)
    assert done.status == 2
    assert "images here have 3" in done.err
