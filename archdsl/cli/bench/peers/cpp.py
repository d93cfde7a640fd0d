"""The algorithm of the Numba kernel in C++, compiled on the spot where there is a compiler."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from archdsl.cli.bench.peers.peer import Peer, Ready
from archdsl.cli.bench.problems import Problem

SOURCE = Path(__file__).with_name("scan.cpp")
FLAGS = (
    "-O3",
    "-march=native",
    "-ffast-math",
    "-funroll-loops",
    "-fopenmp",
    "-std=c++17",
    "-fPIC",
)
LINK = ("-shared", "-fopenmp")
CHUNK = 32
WIDTH = 16
MOST_STATES = 256
_OPEN: list[TemporaryDirectory[str]] = []


class Arrays(ctypes.Structure):
    """Addresses of the inputs."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in "u delta A B C D z bias".split())


class Gradients(ctypes.Structure):
    """Addresses of the gradients that every task has rows of its own in."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in "u delta z A D bias B C".split())


def compiler() -> str | None:
    """The C++ compiler: `$CXX`, or g++."""
    return shutil.which(os.environ.get("CXX") or "g++")


@cache
def library() -> ctypes.CDLL:
    """The compiled source, built once in a process.

    Raises:
        RuntimeError: where it does not compile.
    """
    folder = TemporaryDirectory(prefix="archdsl-bench-")
    _OPEN.append(folder)  # removed when the process ends
    target = Path(folder.name) / f"{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so"
    made = target.with_suffix(".o")
    # Linked without -ffast-math, which would make the whole process take subnormal numbers for 0.
    for options in ((*FLAGS, "-c", str(SOURCE), "-o", str(made)), (*LINK, str(made), "-o", str(target))):
        command = [compiler() or "g++", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip().splitlines()[:1]}")
    return ctypes.CDLL(str(target))


def forward(x: Problem, saves: bool, threads: int) -> tuple[Tensor, Tensor | None]:
    """y, and the states at the start of every chunk."""
    batch, length, channels = x.u.shape
    states = x.A.shape[1]
    y = torch.empty_like(x.u)
    starts = x.u.new_empty(batch, _chunks(length), states, channels) if saves else None
    library().scan_forward(*_sizes(x), _arrays(x), _address(y), _address(starts), threads)
    return y, starts


def both(x: Problem, threads: int) -> tuple[Tensor, ...]:
    """The gradients of the eight inputs, by way of the forward."""
    _, starts = forward(x, True, threads)
    batch, length, channels = x.u.shape
    states = x.A.shape[1]
    du, ddelta, dz = (torch.empty_like(x.u) for _ in range(3))
    dA = x.u.new_empty(batch, channels, states)
    dD, dbias = x.u.new_empty(batch, channels), x.u.new_empty(batch, channels)
    part_B, part_C = (x.u.new_zeros(threads, batch, _chunks(length), states, CHUNK) for _ in range(2))
    dB, dC = torch.empty_like(x.B), torch.empty_like(x.C)
    own = Gradients(*(v.data_ptr() for v in (du, ddelta, dz, dA, dD, dbias)), None, None)
    shared = [_address(v) for v in (part_B, part_C, dB, dC)]
    library().scan_backward(*_sizes(x), _address(x.dout), _arrays(x), _address(starts), own, *shared, threads)
    return du, ddelta, dA.sum(0), dB, dC, dD.sum(0), dz, dbias.sum(0)


def cpp_peer(threads: int) -> Peer:
    """The kernel in C++."""

    def prepare(problem: Problem) -> Ready:
        library()
        return Ready(lambda: forward(problem, False, threads)[0], lambda: both(problem, threads))

    def refuses(problem: Problem, which: str) -> str:
        if problem.u.shape[2] % WIDTH:
            return f"it takes channels in multiples of {WIDTH}"
        return f"it takes {MOST_STATES} states at most" if problem.A.shape[1] > MOST_STATES else ""

    what = f"the same algorithm with GCC's vectors, g++ {' '.join(FLAGS[:4])}, (b, l, d)"
    return Peer("C++", what, missing, prepare, dtypes=("float32",), refuses=refuses)


@cache
def missing() -> str:
    """Why it can't be compiled here, empty where it can."""
    if compiler() is None:
        return "install g++, or set CXX"
    try:
        library()
    except (RuntimeError, OSError) as error:
        return str(error)
    return ""


def _chunks(length: int) -> int:
    return -(-length // CHUNK)


def _sizes(x: Problem) -> tuple[ctypes.c_long, ...]:
    return tuple(map(ctypes.c_long, (*x.u.shape, x.A.shape[1])))


def _arrays(x: Problem) -> Arrays:
    return Arrays(*(v.data_ptr() for v in x.arguments))


def _address(v: Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if v is None else v.data_ptr())
