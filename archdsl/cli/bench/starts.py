"""How long the first scan of a process takes: with nothing compiled, and with compiled kernels on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from archdsl.cli.messages import mistake

CODE = """\
import json, time, torch
from archdsl.kernels import selective_scan
torch.set_num_threads(1)
draw = torch.Generator().manual_seed(0)
size = [(1, 197, 384), (1, 197, 384), (384, 16), (1, 197, 16), (1, 197, 16), (384,), (1, 197, 384), (384,)]
given = [torch.randn(s, generator=draw) for s in size]
given[2] = -given[2].exp()
given = [v.requires_grad_() for v in given]
marks = []
def mark():
    marks.append((time.perf_counter(), time.process_time()))
mark()
try:
    import numba
except ImportError:
    pass
mark()
for _ in range(2):
    selective_scan(*given, delta_softplus=True).sum().backward()
    mark()
names = ("import of numba", "first call", "second call")
print(json.dumps({n: [b - a for a, b in zip(marks[i], marks[i + 1])] for i, n in enumerate(names)}))
"""
WHAT = (
    "a fresh process, torch imported: then the import of Numba, the first forward and backward of "
    "(1, 384, 16, 197), which compiles or loads kernels and proves them, and the second; seconds of wall "
    "time and of processor time, the least of the runs"
)

Seconds = dict[str, dict[str, float]]


def starts(repeats: int) -> dict[str, Seconds]:
    """Cold: an empty folder for compiled kernels each time. Warm: one that a process filled before."""
    with TemporaryDirectory(prefix="archdsl-bench-") as scratch:
        cold = [_process(Path(scratch) / str(i)) for i in range(repeats)]
        warm = [_process(Path(scratch) / "0") for _ in range(repeats)]
    return {"cold": _least(cold), "warm": _least(warm)}


def _process(folder: Path) -> dict[str, list[float]]:
    folder.mkdir(exist_ok=True)
    env = {k: v for k, v in os.environ.items() if k != "ARCHDSL_BACKEND"}
    # Both, so that neither Numba nor ours finds what other processes left.
    env |= {"NUMBA_CACHE_DIR": str(folder), "XDG_CACHE_HOME": str(folder), "HOME": str(folder)}
    done = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise mistake("E501", "a scan in a fresh process fails", notes=done.stderr.splitlines()[-5:])
    seconds: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def _least(runs: list[dict[str, list[float]]]) -> Seconds:
    return {
        name: {
            kind: round(min(run[name][i] for run in runs), 4) for i, kind in enumerate(("wall", "processor"))
        }
        for name in runs[0]
    }
