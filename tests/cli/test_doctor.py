"""`archdsl doctor`, and how `archdsl build` tells of kernels that do not serve."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from planted import WRONG, planted, with_gradient

import archdsl as package
from archdsl.kernels import cache
from archdsl.kernels.ladder import LADDERS
from archdsl.kernels.selective_scan import LADDER

ROOT = Path(package.__file__).parents[1]
WRONG_A = planted(with_gradient("A", lambda g: g * 1.01))


def served_below(dtype: torch.dtype) -> str:
    return LADDER.choose(LADDER.typical("cpu", dtype, "bld")).name


def kernels(report: Any, operator: str = "selective scan", **wanted: str) -> list[Any]:
    """The rows of an operator with the values wanted."""
    rows = [k for k in report["kernels"] if k["operator"] == operator]
    return [k for k in rows if all(k[name] == value for name, value in wanted.items())]


def test_every_operator_is_served_and_the_rest_is_explained(archdsl: Any) -> None:
    done = archdsl("doctor")
    assert done.status == 0, done.err
    assert f"torch {torch.__version__.partition('+')[0]}" in " ".join(done.out.split())
    assert "device     cpu: " in done.out
    assert "a kernel that serves." in done.out
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    for ladder in LADDERS:
        for dtype in ("float32", "bfloat16", "float16"):
            rows = [line for line in lines if line.startswith(f"{ladder.operator} cpu {dtype}")]
            assert sum(" serves" in row for row in rows) == 1, rows


def test_as_json(archdsl: Any) -> None:
    done = archdsl("doctor", "--json", "--all")
    assert done.status == 0, done.err
    report = json.loads(done.out)
    assert report["well"] is True
    assert report["unserved"] == []
    assert {p["name"]: p["state"] for p in report["packages"]}["numba"] == "imports"
    for ladder in LADDERS:
        for layout in ("bld", "bdl"):
            rows = kernels(report, ladder.operator, layout=layout)
            assert [r["result"] for r in rows if r["device"] == "cpu"].count("serves") == 3
            for row in rows:
                if row["result"] in ("serves", "proved"):
                    assert 0 <= row["error"] < row["allowed"]
                    assert row["first"] > 0
                    assert row["again"] > 0
                else:
                    assert row["reason"]


def test_a_wrong_kernel_is_named_and_the_next_serves(archdsl: Any) -> None:
    with LADDER.with_candidates(WRONG_A):
        done, as_json = archdsl("doctor"), archdsl("doctor", "--json")
    assert done.status == as_json.status == 0
    report = json.loads(as_json.out)
    assert {r["result"] for r in kernels(report, kernel="planted", dtype="float32")} == {"failed"}
    assert {r["result"] for r in kernels(report, kernel="planted", dtype="bfloat16")} == {"serves"}
    (served,) = kernels(report, result="serves", dtype="float32", device="cpu")
    assert served["kernel"] == served_below(torch.float32)
    told = "planted selective scan on cpu in float32: the gradient of A is off by 0.0"
    assert told in done.out
    assert "archdsl doctor --json > doctor.json" in done.out
    assert "planted (selective scan on cpu in float32)" in done.out


@pytest.mark.parametrize("what", ["import", "exit", "available", "supports", "raises", "nan"])
def test_whatever_a_kernel_does_is_a_reason(archdsl: Any, what: str) -> None:
    wrong, reason = WRONG[what]
    with LADDER.with_candidates(wrong):
        done = archdsl("doctor", "--json")
    assert done.status == 0, done.err
    rows = kernels(json.loads(done.out), kernel="planted")
    assert len(rows) >= 3
    for row in rows:
        assert row["result"] in ("failed", "not here", "does not fit")
        assert reason.rstrip("$") in row["reason"]


def test_where_nothing_serves_the_status_is_1(archdsl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHDSL_BACKEND", "planted")
    with LADDER.with_candidates(WRONG_A):
        done = archdsl("doctor")
        assert done.status == 1
        assert (
            "nothing serves selective scan on cpu in float32: ARCHDSL_BACKEND: the kernel `planted`"
            in done.out
        )
        assert "nothing serves selective scan on cpu in bfloat16" not in done.out
        assert "unset ARCHDSL_BACKEND" in done.out
        assert "a kernel that serves." not in done.out
        report = json.loads(archdsl("doctor", "--json").out)
        assert report["well"] is False
        assert {u["operator"] for u in report["unserved"]} == {"selective scan"}
        assert [u["dtype"] for u in report["unserved"]] == ["float32", "float16"]


COMMANDS = {
    "doctor": [],
    "build": ["{spec}", "--image", "32", "--device", "cpu"],
    "train": ["{spec}", "--task", "digits", "--set", "image=8", "--set", "stem=patch_embed(4, dim)"],
    "run-once": ["{spec}", "--task", "digits", "--set", "image=8", "--set", "stem=patch_embed(4, dim)"],
    "search": ["tiny_cpu", "--out", "{tmp}"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_that_no_kernel_has(
    archdsl: Any, small: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("ARCHDSL_BACKEND", "abacus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    done = archdsl(command, *(a.format(spec=small, tmp=tmp_path / "study") for a in COMMANDS[command]))
    assert done.status == 2
    assert not list(tmp_path.iterdir())
    assert done.err.startswith("error[E512]: ARCHDSL_BACKEND: there is no backend 'abacus': one of auto, ")
    assert done.out == ""


def test_training_with_a_kernel_that_does_not_serve(
    archdsl: Any, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHDSL_BACKEND", "planted")
    with LADDER.with_candidates(WRONG_A):
        done = archdsl("train", small, *COMMANDS["train"][1:])
    assert done.status == 2
    assert done.err.startswith(
        "error[E512]: ARCHDSL_BACKEND: the kernel `planted` can't serve this selective"
    )
    assert "Traceback" not in done.err


def test_what_would_help(archdsl: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "folders", lambda: [tmp_path / "file" / "cache"])
    monkeypatch.setattr(
        shutil, "which", lambda name, *rest: "/bin/nvidia-smi" if name == "nvidia-smi" else None
    )
    done = archdsl("doctor")
    assert done.status == 0
    assert "cache      none: compiled kernels are not kept" in done.out
    assert f"not {tmp_path}/file/cache: Not a directory" in done.out
    commands = [line.strip() for line in done.out.splitlines() if line.startswith("  ") and line[2] != " "]
    wanted = ["export NUMBA_CACHE_DIR=/a/folder/of/yours", "apt-get install g++"]
    if not torch.cuda.is_available():
        wanted.insert(1, "nvidia-smi")
    assert [c for c in commands if not c.startswith("pip")] == wanted


def run_with(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process that finds the modules of a folder first."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "archdsl", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def module(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)


def test_packages_that_fail_at_import(tmp_path: Path) -> None:
    module(tmp_path, "mamba_ssm", "print('noise')\nraise ImportError('libcudart.so.12: no such file')\n")
    module(tmp_path, "causal_conv1d", "raise SystemExit(3)\n")
    module(tmp_path, "numba", "raise RuntimeError('needs NumPy 2.3 or less\\nas it says')\n")
    done = run_with(tmp_path, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    report = json.loads(done.stdout)
    broken = {p["name"]: p["reason"] for p in report["packages"] if p["state"] == "fails at import"}
    assert broken == {
        "mamba-ssm": "ImportError: libcudart.so.12: no such file",
        "causal-conv1d": "SystemExit: 3",
        "numba": "RuntimeError: needs NumPy 2.3 or less",
    }
    assert {k["operator"] for k in report["kernels"]} == {ladder.operator for ladder in LADDERS}
    assert {"selective scan", "depthwise convolution"} <= {ladder.operator for ladder in LADDERS}
    commands = [a["command"] for a in report["advice"]]
    assert "pip install --force-reinstall numba" in commands
    for ladder in LADDERS:
        rows = kernels(report, ladder.operator, result="serves", device="cpu")
        assert {r["kernel"] for r in rows} <= {"reference", "onednn"}
        for row in kernels(report, ladder.operator, kernel="numba"):
            assert "needs NumPy 2.3 or less" in row["reason"]


def test_pytorch_that_fails_at_import(tmp_path: Path) -> None:
    module(tmp_path, "torch", "raise OSError('libtorch_cpu.so: undefined symbol')\n")
    done = run_with(tmp_path, "doctor")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "fails at import: OSError: libtorch_cpu.so: undefined symbol" in done.stdout
    assert "PyTorch can't be imported: no kernel was tried." in done.stdout
    assert "pip install --force-reinstall torch" in done.stdout


def test_build_tells_which_kernel_serves_and_which_not(archdsl: Any, small: str) -> None:
    common = ("build", small, "--image", "32", "--device", "cpu")
    plain = archdsl(*common)
    with LADDER.with_candidates(WRONG_A):
        done = archdsl(*common)
        low = archdsl(*common, "--dtype", "bfloat16")
        named = archdsl(*common, "--backend", "planted")
    assert done.status == low.status == 0
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert served_below(torch.float32) in rows["s1"]
    note = (
        "The kernel planted does not serve s1: it failed its test on cpu in float32: the gradient of A is off"
    )
    assert note in done.out
    assert "planted" in next(line for line in low.out.splitlines() if line.startswith(" s1"))
    assert "does not serve" not in low.out
    assert named.status == 2
    assert named.err.startswith(
        "error[E512]: the kernel `planted` can't serve this selective scan: it failed"
    )
    output = [line for line in plain.out.splitlines() if line.startswith("output")]
    assert output == [line for line in done.out.splitlines() if line.startswith("output")]
