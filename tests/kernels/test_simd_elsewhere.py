"""The kernels of the scan lower to the instructions of machines that are not this one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir
from numba import typeof

from archdsl.kernels import simd
from archdsl.kernels.selective_scan.numba.backward_memory import Scan
from archdsl.kernels.selective_scan.numba.backward_range import _tasks as backward
from archdsl.kernels.selective_scan.numba.forward import _tasks as forward
from archdsl.kernels.simd.elements import element_of
from archdsl.kernels.simd.emission import Emission, Integers
from archdsl.kernels.simd.memory import LONG
from archdsl.kernels.simd.vector import FLOAT

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()

NEON = "aarch64-unknown-linux-gnu"
SSE2 = "x86_64-unknown-linux-gnu"
VECTORS = {NEON: r"\tfmla\tv", SSE2: r"\tmulps\t"}
ZEROS = {"memset", "memset@PLT"}
SIZES = len(Scan._fields)


def of_forward(a: Any) -> list[Any]:
    return [a[0], a[1], Integers(a[2]), *a[3:]]


def of_backward(a: Any) -> list[Any]:
    return [a[0], a[1], Scan(*a[2 : 2 + SIZES]), *a[2 + SIZES :]]


ROUTINES: dict[str, tuple[Any, int, Callable[[Any], list[Any]]]] = {
    "forward": (forward, 5, of_forward),
    "backward": (backward, 5 + SIZES, of_backward),
}


def assembly(which: str, of: np.ndarray, machine: str) -> str:
    """The routine of all tasks alone, for a machine."""
    routine, integers, arguments = ROUTINES[which]
    module = ir.Module()
    kind = ir.FunctionType(ir.VoidType(), [*[LONG] * integers, FLOAT])
    function = ir.Function(module, kind, "alone")
    builder = ir.IRBuilder(function.append_basic_block())
    Emission(builder, routine.routine, [*arguments(function.args), element_of(typeof(of))]).run()
    builder.ret_void()
    parsed = llvm.parse_assembly(str(module))
    parsed.triple = machine
    text: str = llvm.Target.from_triple(machine).create_target_machine(opt=1).emit_assembly(parsed)
    return text


@pytest.mark.parametrize(
    ("machine", "of"),
    [(NEON, simd.FLOAT32), (NEON, simd.FLOAT16), (SSE2, simd.BFLOAT16)],
    ids=["neon-float32", "neon-float16", "sse2-bfloat16"],
)
@pytest.mark.parametrize("which", list(ROUTINES))
def test_a_scan_is_made_of_vector_instructions_and_calls_no_function(
    which: str, machine: str, of: np.ndarray
) -> None:
    text = assembly(which, of, machine)
    assert len(re.findall(VECTORS[machine], text)) > 20
    assert set(re.findall(r"\t(?:bl|callq)\t(\S+)", text)) <= ZEROS
