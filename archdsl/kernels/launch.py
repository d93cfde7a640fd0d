"""A launch of a Triton kernel as a value: it can be run, or compiled for a device that is not there."""

from __future__ import annotations

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
