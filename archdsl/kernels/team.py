"""A range kernel on the threads that torch has already started.

torch's operators end with its OpenMP workers spinning, so threads of any other kind wait for a core. A team
therefore runs on those same workers: compiled code calls `GOMP_parallel` of the library that torch is linked
with, as torch's own operators do. A worker that is free takes the next range.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callconv import excinfo_ptr_t
from numba.extending import intrinsic

from archdsl.kernels.jit import kernel
from archdsl.kernels.parallel import RANGES

I32, I64 = ir.IntType(32), ir.IntType(64)
POINTER = ir.IntType(8).as_pointer()
_NEXT, _RANGES, _TASKS, _CODE, _RAISED, _ARGS, _BODY = range(7)
"""What the workers of a team share: the number of the next range, how many there are, the number of tasks,
what went wrong (Numba's status of a call), the arguments, and where the code is that does a range."""
_BLOCKS = ("entry", "look", "work", "failed", "done")


def _typed(_: Any, library: Any, threads: Any, body: Any, tasks: Any, args: Any) -> Any:
    """Numba's view of `run`: its types and its code."""
    taken = (types.int64, types.int64, *args.types)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        library, threads, body, tasks, args = values
        ranges = builder.mul(threads, I64(RANGES))
        ranges = builder.select(builder.icmp_signed("<", tasks, ranges), tasks, ranges)
        members = [I64(0), ranges, tasks, I32(0), ir.Constant(excinfo_ptr_t, None), args, body]
        shared = cgutils.alloca_once(builder, ir.LiteralStructType([m.type for m in members]))
        for i, value in enumerate(members):
            builder.store(value, cgutils.gep_inbounds(builder, shared, 0, i))

        worker = _worker(context, builder, shared.type, taken)
        start = ir.FunctionType(ir.VoidType(), [worker.type, POINTER, I32, I32])
        given = [worker, builder.bitcast(shared, POINTER), builder.trunc(threads, I32), I32(0)]
        builder.call(builder.inttoptr(library, start.as_pointer()), given)

        code, raised = (builder.load(cgutils.gep_inbounds(builder, shared, 0, i)) for i in (_CODE, _RAISED))
        status = context.call_conv._get_return_status(builder, code, raised)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(library, threads, body, tasks, args), generate


def _worker(context: Any, caller: Any, shared: Any, taken: tuple[Any, ...]) -> Any:
    """What each worker of the team does: the body for one range after the other, until one fails."""
    name = f"{caller.function.name}.worker"
    worker = ir.Function(caller.module, ir.FunctionType(ir.VoidType(), [POINTER]), name)
    worker.linkage = "internal"
    entry, look, work, failed, done = (worker.append_basic_block(n) for n in _BLOCKS)
    builder = ir.IRBuilder(entry)
    memory = builder.bitcast(worker.args[0], shared)
    at = [cgutils.gep_inbounds(builder, memory, 0, i) for i in range(_BODY + 1)]
    ranges, tasks, args, body = (builder.load(at[i]) for i in (_RANGES, _TASKS, _ARGS, _BODY))
    called = context.call_conv.get_function_type(types.none, taken)
    body = builder.inttoptr(body, called.as_pointer())
    builder.branch(look)

    builder.position_at_end(look)
    number = builder.atomic_rmw("add", at[_NEXT], I64(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", number, ranges), work, done)

    builder.position_at_end(work)
    first, last = (builder.sdiv(builder.mul(tasks, n), ranges) for n in (number, builder.add(number, I64(1))))
    values = [first, last, *cgutils.unpack_tuple(builder, args)]
    status, _ = context.call_conv.call_function(builder, body, types.none, taken, values)
    builder.cbranch(status.is_error, failed, look)

    builder.position_at_end(failed)
    builder.store(status.code, at[_CODE])
    builder.store(status.excinfoptr, at[_RAISED])
    builder.branch(done)

    builder.position_at_end(done)
    builder.ret_void()
    return worker


_on_team: Any = intrinsic(_typed)


@kernel
def run(library: int, threads: int, body: int, tasks: int, *args: Any) -> None:
    """A range kernel on a team of threads.

    Args:
        library: where the function is that starts a team, see `team_library`.
        threads: how many.
        body: where the code of the range kernel is, see `Kernel.address`.
        tasks: it does the tasks [0, tasks).
        args: what it takes after the range.
    """
    _on_team(library, threads, body, tasks, args)
