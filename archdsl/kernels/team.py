"""A range kernel on the threads that torch has already started.

torch's operators end with its OpenMP workers spinning, so threads of any other kind wait for a core. A team
therefore runs on those same workers: compiled code calls `GOMP_parallel` of the library that torch is linked
with, as torch's own operators do. A worker that is free takes the next range.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callconv import excinfo_ptr_t
from numba.extending import intrinsic

from archdsl.kernels.jit import Kernel, kernel
from archdsl.kernels.parallel import RANGES

I32, I64 = ir.IntType(32), ir.IntType(64)
POINTER = ir.IntType(8).as_pointer()
_NEXT, _RANGES, _FIRST, _TASKS, _CODE, _RAISED, _ARGS = range(7)
"""What the workers of a team share: the number of the next range, how many there are, where the tasks start
and how many there are, what went wrong (numba's status of a call), the arguments."""

_BLOCKS = ("entry", "look", "work", "failed", "done")


@functools.cache
def address() -> int:
    """Where `GOMP_parallel` is in this process, 0 where torch isn't linked with it."""
    try:
        found = ctypes.CDLL(torch._C.__file__).GOMP_parallel
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(found, ctypes.c_void_p).value or 0


def _typed(_: Any, address: Any, threads: Any, first: Any, last: Any, args: Any) -> Any:
    """Call the function this stands in, for each range, on a team; what a range raises is raised here."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, threads, first, last, args = values
        tasks = builder.sub(last, first)
        ranges = builder.mul(threads, I64(RANGES))
        ranges = builder.select(builder.icmp_signed("<", tasks, ranges), tasks, ranges)
        members = [I64(0), ranges, first, tasks, I32(0), ir.Constant(excinfo_ptr_t, None), args]
        shared = cgutils.alloca_once(builder, ir.LiteralStructType([m.type for m in members]))
        for i, value in enumerate(members):
            builder.store(value, cgutils.gep_inbounds(builder, shared, 0, i))

        worker = _worker(context, builder.function, shared.type)
        start = ir.FunctionType(ir.VoidType(), [worker.type, POINTER, I32, I32])
        given = [worker, builder.bitcast(shared, POINTER), builder.trunc(threads, I32), I32(0)]
        builder.call(builder.inttoptr(address, start.as_pointer()), given)

        code, raised = (builder.load(cgutils.gep_inbounds(builder, shared, 0, i)) for i in (_CODE, _RAISED))
        status = context.call_conv._get_return_status(builder, code, raised)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(address, threads, first, last, args), generate


def _worker(context: Any, run: Any, shared: Any) -> Any:
    """What each worker of the team does: `run` with one thread, for one range after the other."""
    worker = ir.Function(run.module, ir.FunctionType(ir.VoidType(), [POINTER]), f"{run.name}.worker")
    worker.linkage = "internal"
    entry, look, work, failed, done = (worker.append_basic_block(n) for n in _BLOCKS)
    builder = ir.IRBuilder(entry)
    memory = builder.bitcast(worker.args[0], shared)
    at = [cgutils.gep_inbounds(builder, memory, 0, i) for i in range(7)]
    ranges, first, tasks, args = (builder.load(at[i]) for i in (_RANGES, _FIRST, _TASKS, _ARGS))
    builder.branch(look)

    builder.position_at_end(look)
    number = builder.atomic_rmw("add", at[_NEXT], I64(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", number, ranges), work, done)

    builder.position_at_end(work)
    start, end = (
        builder.add(first, builder.sdiv(builder.mul(tasks, n), ranges))
        for n in (number, builder.add(number, I64(1)))
    )
    status, _ = context.call_conv.call_function(
        builder, run, types.none, context.fndesc.argtypes, [I64(0), I64(1), start, end, args]
    )
    builder.cbranch(status.is_error, failed, look)

    builder.position_at_end(failed)
    builder.store(status.code, at[_CODE])
    builder.store(status.excinfoptr, at[_RAISED])
    builder.branch(done)

    builder.position_at_end(done)
    builder.ret_void()
    return worker


_on_team: Any = intrinsic(_typed)


def team(body: Callable[..., None]) -> Kernel[..., None]:
    """`run(address, threads, first, last, *args)`: the body on a team, or right here for one thread.

    It is the same machine code for every number of threads, so the results are the same to the bit.
    """

    @kernel
    def run(address: int, threads: int, first: int, last: int, *args: Any) -> None:
        if threads > 1:
            _on_team(address, threads, first, last, args)
        else:
            body(first, last, *args)

    return run
