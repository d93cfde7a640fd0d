"""What the assembler made of a Triton kernel, on a machine without a device."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from archdsl.kernels.launch import Launch


class Assembled(NamedTuple):
    """One kernel.

    Args:
        registers: of a thread, 255 at most.
        stack: bytes of memory that a thread needs because registers did not suffice.
        exchanges: shuffles between threads in its code.
        barriers: in its code.
    """

    registers: int
    stack: int
    exchanges: int
    barriers: int


def assembled(launch: Launch, capability: int, folder: Path) -> Assembled:
    """Compiles a launch for a capability (80, 90, 100) and reads its machine code."""
    from triton import knobs

    compiled = launch.compile(capability)
    file = folder / "kernel.cubin"
    file.write_bytes(compiled.asm["cubin"])

    def told(option: str) -> str:
        command = [knobs.nvidia.cuobjdump.path, option, str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    usage, code = told("--dump-resource-usage"), told("--dump-sass")
    numbers = dict(re.findall(r"(REG|STACK):(\d+)", usage))
    return Assembled(
        int(numbers["REG"]), int(numbers["STACK"]), code.count(" SHFL."), code.count(" BAR.SYNC")
    )
