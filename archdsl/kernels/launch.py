"""Where Triton runs, and a launch of its kernels as a value: run, or compiled for a device not there."""

from __future__ import annotations

import importlib.util
import os
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

POINTERS = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int64: "*i64",
}
INT32 = 2**31
TYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Of the sequences that Triton kernels take."""
MOST_ROUTES = 62
"""Directions of routes travel as bits of one number."""


def interpreted() -> bool:
    """Whether Triton runs its kernels in Python, on tensors of the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def available() -> str | None:
    """Why Triton can't run here, None where it can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if not interpreted() and not torch.cuda.is_available():
        return "there is no CUDA device"
    return None


def refusal(device: str, dtype: torch.dtype, routes: int) -> str | None:
    """Why no Triton kernel serves sequences of a type on a type of device, None where one may."""
    if device != ("cpu" if interpreted() else "cuda"):
        return f"triton does not run on {device} here"
    if dtype not in TYPES:
        return f"it does not compute in {dtype}"
    if routes > MOST_ROUTES:
        return f"{routes} routes are more than {MOST_ROUTES}"
    return None


def bits(reverse: tuple[bool, ...]) -> int:
    """The directions of routes as kernels take them: bit k is set where route k reads from the end."""
    return sum(1 << k for k, from_end in enumerate(reverse) if from_end)


class Launch(NamedTuple):
    """One launch.

    Args:
        kernel: the `triton.jit` function.
        programs: how many run, in one dimension.
        values: its arguments by name, tensors, numbers and constants.
        warps: of a program.
    """

    kernel: Any
    programs: int
    values: dict[str, Any]
    warps: int = 1

    def run(self) -> None:
        """Runs it on the device of its tensors."""
        device = next(v.device for v in self.values.values() if isinstance(v, Tensor))
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            self.kernel[(self.programs,)](**self.values, num_warps=self.warps)

    def compile(self, capability: int) -> Any:
        """The kernel compiled for a capability (80, 90, 100) as `triton.compile` returns it: needs no device.

        The tensors count as aligned to 16 bytes, as torch allocates them; they may be on `meta`.
        """
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        signature: dict[str, object] = {}
        constants: dict[tuple[int, ...], object] = {}
        attributes: dict[tuple[int, ...], list[list[object]]] = {}

        def described(value: object, place: tuple[int, ...], parameter: Any) -> object:
            """The type of an argument, or of an entry of a tuple; noted if it is a constant or aligned."""
            fixed = type(value) is int and value == 1 and not parameter.do_not_specialize
            if parameter.is_constexpr or value is None or fixed:
                constants[place] = value
                return "constexpr"
            if isinstance(value, tuple):
                return tuple(described(v, (*place, k), parameter) for k, v in enumerate(value))
            aligned = isinstance(value, Tensor) or (isinstance(value, int) and value % 16 == 0)
            if aligned and not (parameter.do_not_specialize or parameter.do_not_specialize_on_alignment):
                attributes[place] = [["tt.divisibility", 16]]
            return _type(value)

        for index, parameter in enumerate(self.kernel.params):
            signature[parameter.name] = described(self.values[parameter.name], (index,), parameter)
        source = ASTSource(self.kernel, signature, constants, attributes)
        return triton.compile(source, GPUTarget("cuda", capability, 32), {"num_warps": self.warps})


def _type(value: object) -> str:
    """Triton's name for the type of an argument."""
    if isinstance(value, Tensor):
        return POINTERS[value.dtype]
    if isinstance(value, bool):
        return "i1"
    if isinstance(value, int):
        return "i32" if -INT32 <= value < INT32 else "i64"
    return "fp32"
