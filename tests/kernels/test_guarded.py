"""No kernel loads or stores beside its tensors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

SCRIPT = Path(__file__).with_name("guarded.py")
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform != "linux", reason="needs mmap and mprotect of Linux")
@pytest.mark.parametrize("cases", ["quick", pytest.param("full", marks=pytest.mark.slow)])
def test_nothing_beside_a_tensor_is_touched(cases: str) -> None:
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), cases], env=variables, capture_output=True, text=True, check=False
    )
    last = done.stdout.splitlines()[-1:]
    assert (done.returncode, last) == (0, ["done"]), f"ended in {last}: {done.stderr[-2000:]}"
