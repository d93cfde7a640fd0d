"""Commands that would help."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from archdsl.cli.doctor.packages import Package, State


class Advice(NamedTuple):
    """A command, and what it is for."""

    command: str
    reason: str


class Machine(NamedTuple):
    """What advice depends on beside the packages.

    Args:
        cuda: whether PyTorch sees a CUDA device.
        cache: whether compiled kernels are kept in a folder.
        failed: kernels that failed their test, each with the device and the type.
        named: the kernel that ARCHDSL_BACKEND names and that does not serve everywhere.
    """

    cuda: bool
    cache: bool
    failed: Sequence[str]
    named: str | None


def advice(packages: Sequence[Package], machine: Machine) -> Iterator[Advice]:
    """What would help, the most urgent first."""
    for package in packages:
        wanted = package.wanted
        if package.state is State.BROKEN:
            command = f"pip install --force-reinstall {wanted.name}"
            if wanted.extra == "mamba-ssm":
                command = f"pip install --force-reinstall --no-build-isolation --no-deps {wanted.name}"
            yield Advice(command, f"{wanted.name} fails at import: {package.reason}")
        elif package.state is State.MISSING and wanted.needed:
            yield Advice(f"pip install {wanted.name}", f"archdsl needs it for {wanted.use}")
    if machine.named is not None:
        yield Advice("unset ARCHDSL_BACKEND", f"it names {machine.named}, which does not serve everywhere")
    if machine.failed:
        yield Advice(
            "archdsl doctor --json > doctor.json",
            f"to report what failed its test: {', '.join(machine.failed)}",
        )
    if not machine.cache:
        yield Advice(
            "export NUMBA_CACHE_DIR=/a/folder/of/yours",
            "no folder can be written to, so every process compiles its kernels anew",
        )
    missing = [p.wanted.extra for p in packages if p.state is State.MISSING]
    if machine.cuda and "mamba-ssm" in missing:
        yield Advice("pip install 'archdsl[mamba-ssm]'", "its kernels serve where they prove themselves")
    if not machine.cuda and shutil.which("nvidia-smi") is not None:
        yield Advice("nvidia-smi", "there is a driver, but PyTorch sees no CUDA device: compare the versions")
    if not _compiler():
        yield Advice(
            "apt-get install g++", "only torch.compile on the CPU needs a compiler; archdsl's kernels do not"
        )


def _compiler() -> bool:
    """Whether there is a C++ compiler where torch.compile looks for one."""
    names = (os.environ.get("CXX"), "g++", "clang++", "cl")
    return any(name is not None and shutil.which(name) is not None for name in names)
