"""The scans of published packages, run as they are: mamba_ssm's reference, transformers, mambapy."""

from __future__ import annotations

import ast
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from archdsl.cli.bench.peers.peer import (
    Peer,
    Ready,
    as_it_is,
    backward_up_to,
    steps_last,
    through_autograd,
    transposed,
)
from archdsl.cli.bench.problems import Problem

INSTALL = "pip install 'archdsl[bench]'"
MAMBA_SSM = "mamba-ssm==2.3.2.post1"
INTERFACE = "mamba_ssm/ops/selective_scan_interface.py"
REFERENCE = "selective_scan_ref"
FETCH = ["download", "--quiet", "--no-deps", "--no-build-isolation", "--no-binary", "mamba-ssm", MAMBA_SSM]
QUADRATIC = "autograd through its indexing takes time and memory with the square of the steps"
QUADRATIC_FROM = 256


def source_of_mamba_ssm(path: Path | None, fetch: bool) -> str | None:
    """The text of mamba_ssm's interface of the scan, None where there is none.

    Args:
        path: its source distribution, or that file; without it, the installed package is looked for.
        fetch: whether pip may download the source distribution, where nothing else is there.

    Raises:
        FileNotFoundError: where `path` holds no such file.
    """
    if path is not None:
        return path.read_text(encoding="utf-8") if path.suffix == ".py" else _unpacked(path)
    found = find_spec("mamba_ssm")
    if found is not None and found.submodule_search_locations:
        file = Path(found.submodule_search_locations[0]).parent / INTERFACE
        if file.is_file():
            return file.read_text(encoding="utf-8")
    if not fetch:
        return None
    with TemporaryDirectory(prefix="archdsl-bench-") as folder:
        command = [sys.executable, "-m", "pip", *FETCH, "--dest", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        archives = list(Path(folder).glob("*.tar.gz"))
        return None if done.returncode or not archives else _unpacked(archives[0])


def _unpacked(archive: Path) -> str:
    """The file out of the source distribution; nothing is written."""
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name.endswith(INTERFACE):
                file = opened.extractfile(member)
                if file is not None:
                    return file.read().decode()
    raise FileNotFoundError(f"{archive} holds no {INTERFACE}")


def mamba_ssm_reference(source: str) -> Callable[..., Tensor]:
    """The function alone: importing the module would need a CUDA extension.

    Raises:
        ValueError: where the text does not define it.
    """
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef) and statement.name == REFERENCE:
            known: dict[str, Any] = {"torch": torch, "F": F}
            if find_spec("einops") is not None:
                einops = import_module("einops")
                known |= {"rearrange": einops.rearrange, "repeat": einops.repeat}
            exec(compile(ast.Module([statement], []), f"<{MAMBA_SSM}>", "exec"), known)
            function: Callable[..., Tensor] = known[REFERENCE]
            return function
    raise ValueError(f"the text defines no {REFERENCE}")


def mamba_ssm_peer(source: str | None) -> Peer:
    """`selective_scan_ref` in its own order of memory, (b, d, l)."""
    command = " ".join(["pip", *FETCH])
    missing = "" if source is not None else f"add --fetch; or {command}, then --mamba-ssm FILE"
    if not missing and find_spec("einops") is None:
        missing = INSTALL

    def prepare(problem: Problem) -> Ready:
        scan = mamba_ssm_reference(source or "")
        given, dout = steps_last(problem)
        return through_autograd(lambda *v: scan(*v, delta_softplus=True), given, dout, transposed)

    return Peer(
        "mamba_ssm reference",
        f"{REFERENCE} of {MAMBA_SSM}, (b, d, l)",
        lambda: missing,
        prepare,
        refuses=backward_up_to(QUADRATIC_FROM, QUADRATIC),
    )


def transformers_peer() -> Peer:
    """The path of transformers' Mamba without kernels, in its own order of memory, (b, d, l)."""

    def prepare(problem: Problem) -> Ready:
        scan = import_module("transformers.models.mamba.modeling_mamba").mamba_selective_scan
        given, dout = steps_last(problem)
        return through_autograd(lambda *v: scan(*v, delta_softplus=True), given, dout, transposed)

    return Peer(
        "transformers",
        "mamba_selective_scan of its Mamba, the path without kernels, (b, d, l)",
        _transformers_missing,
        prepare,
        dtypes=("float32",),
        refuses=backward_up_to(QUADRATIC_FROM, QUADRATIC),
    )


@cache
def _transformers_missing() -> str:
    if find_spec("transformers") is None:
        return INSTALL
    try:
        module = import_module("transformers.models.mamba.modeling_mamba")
    except ImportError as error:
        return f"it does not import ({error}): {INSTALL}"
    return "" if hasattr(module, "mamba_selective_scan") else f"this version is another: {INSTALL}"


def mambapy_peer() -> Peer:
    """The parallel scan of mambapy, with its own backward; softplus and gate as its block applies them."""

    def prepare(problem: Problem) -> Ready:
        block = import_module("mambapy.mamba").MambaBlock
        alone = block.__new__(block)

        def scan(*v: Tensor) -> Tensor:
            u, delta, A, B, C, D, z, bias = v
            y: Tensor = block.selective_scan(alone, u, F.softplus(delta + bias), A, B, C, D)
            return y * F.silu(z)

        return through_autograd(scan, problem.arguments, problem.dout, as_it_is)

    return Peer(
        "mambapy",
        "MambaBlock.selective_scan (pscan), softplus and gate around it, (b, l, d)",
        lambda: "" if find_spec("mambapy") else INSTALL,
        prepare,
        dtypes=("float32",),
    )
