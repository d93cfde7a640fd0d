"""The operator of mamba-ssm as a candidate where it can't serve: told why, and the next one serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from archdsl.kernels.selective_scan import Call, mamba_ssm

ROOT = Path(__file__).parents[2]
CALL = Call("cuda", torch.bfloat16, 2, 197, 384, 16)
ASK = """
import json, warnings
from dataclasses import replace
import torch
{before}
from archdsl.kernels.selective_scan import LADDER
mine = next(c for c in LADDER.candidates if c.name == "mamba_ssm")
call = LADDER.typical("cpu", torch.float32, "bld")
with LADDER.with_candidates(replace(mine, devices=())), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    choice = LADDER.explain(call)
    reasons = [r.reason for r in choice.passed_over if r.name == "mamba_ssm"]
    print(json.dumps([choice.candidate.name, *reasons]))
"""
RAISES = "raise OSError('libcudart.so.12: no such file')\n"


def asked(folder: Path, before: str = "") -> list[str]:
    """Which kernel serves a scan on the CPU, and why mamba_ssm, tried everywhere, does not."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(before=before)],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def test_a_missing_package_is_told(tmp_path: Path) -> None:
    hidden = "import importlib.util as u; find = u.find_spec\n"
    hidden += "u.find_spec = lambda name, *a: None if name == 'mamba_ssm' else find(name, *a)"
    name, reason = asked(tmp_path, hidden)
    assert name != "mamba_ssm"
    assert reason == "mamba-ssm is not installed"


@pytest.mark.skipif(torch.cuda.is_available(), reason="the extension may be there")
def test_a_package_without_its_extension_is_told_and_not_imported(tmp_path: Path) -> None:
    (tmp_path / "mamba_ssm").mkdir()
    (tmp_path / "mamba_ssm" / "__init__.py").write_text(RAISES)
    name, reason = asked(tmp_path)
    assert name != "mamba_ssm"
    assert reason == "mamba-ssm lacks its CUDA extension selective_scan_cuda"


@pytest.mark.parametrize("lines", [RAISES, "raise SystemExit(3)\n"], ids=["raises", "exits"])
def test_an_extension_that_fails_at_its_import_is_told(tmp_path: Path, lines: str) -> None:
    (tmp_path / "mamba_ssm").mkdir()
    (tmp_path / "mamba_ssm" / "__init__.py").write_text(RAISES)
    (tmp_path / "selective_scan_cuda.py").write_text(lines)
    name, reason = asked(tmp_path)
    assert name != "mamba_ssm"
    assert reason.startswith("the import of selective_scan_cuda raises ")
    assert ("OSError: libcudart.so.12: no such file" in reason) == (lines == RAISES)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"device": "cpu"}, "it does not run on cpu"),
        ({"dtype": torch.float64}, "it does not compute in torch.float64"),
        ({"paths": True}, "it knows no paths"),
        ({"state": 257}, "257 states are more than 256"),
        ({"routes": 4, "channels": 16384}, "65536 channels are more than 65535"),
        ({"state": 256, "routes": 4, "merge": "mean", "layout": "bdl", "gated": True}, None),
    ],
    ids=str,
)
def test_what_it_does_not_serve(change: dict[str, object], reason: str | None) -> None:
    assert mamba_ssm.supports(CALL._replace(**change)) == reason  # type: ignore[arg-type]
