"""Runs the Numba kernels on tensors that lie flush against pages nobody may touch.

A script, because a load or store beside a tensor ends the process. It prints each case before it runs it: the
last line tells where it ended, and is `done` where it did not end early.

The argument is `quick` or `full`: which cases. Each runs twice, with tensors at the end of their pages and at
their start.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from archdsl.kernels.conv1d import inputs as conv1d
from archdsl.kernels.conv1d.numba import backward as conv1d_backward
from archdsl.kernels.conv1d.numba import forward as conv1d_forward
from archdsl.kernels.selective_scan import inputs as scan
from archdsl.kernels.selective_scan.numba import backward as scan_backward
from archdsl.kernels.selective_scan.numba import forward as scan_forward

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
NONE = 0
NAN = 0xFF
"""In every byte it is NaN in every type."""
LENGTHS, CHANNELS, STATES = (1, 31, 32, 33, 65), (1, 15, 16, 17, 40), (1, 3, 4, 5, 16, 64)
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Guard(TorchDispatchMode):
    """New tensors lie between pages without access; what is in those pages but not theirs is kept NaN."""

    def __init__(self, at_end: bool) -> None:
        super().__init__()
        self.at_end = at_end
        self.maps: list[tuple[int, int, int, int]] = []
        self.starts: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or result.untyped_storage().data_ptr() in self.starts:
            return result
        placed = self.place(result)
        if "empty" in func.__name__:
            fill(placed)
        return placed

    def place(self, tensor: Tensor, frozen: bool = False) -> Tensor:
        """The same numbers with the same strides; `frozen`: nobody may write to them."""
        if not tensor.numel():
            return tensor
        size = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
        size *= tensor.element_size()
        room = -(-size // PAGE) * PAGE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        base = LIBC.mmap(None, room + 2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        ctypes.memset(base + PAGE, NAN, room)
        start = base + PAGE + (room - size if self.at_end else 0)
        buffer = (ctypes.c_byte * size).from_address(start)
        placed = torch.frombuffer(buffer, dtype=tensor.dtype).as_strided(tensor.shape, tensor.stride())
        placed.copy_(tensor)
        for guard in (base, base + PAGE + room):
            LIBC.mprotect(guard, PAGE, NONE)
        if frozen:
            LIBC.mprotect(base + PAGE, room, mmap.PROT_READ)
        self.maps.append((base, room, start, size))
        self.starts.add(start)
        return placed

    def check(self) -> None:
        """Nothing was written beside a tensor."""
        for base, room, start, size in self.maps:
            first, behind = base + PAGE, start + size
            beside = ctypes.string_at(first, start - first) + ctypes.string_at(behind, first + room - behind)
            assert beside.count(NAN) == len(beside), "something was written beside a tensor"

    def clear(self) -> None:
        """Give the pages back; the tensors in them are gone."""
        for base, room, _, _ in self.maps:
            LIBC.munmap(base, room + 2 * PAGE)
        self.maps.clear()
        self.starts.clear()


def fill(tensor: Tensor) -> None:
    """NaN where nothing was written yet: results must not keep it."""
    size = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    if tensor.numel():
        ctypes.memset(tensor.data_ptr(), NAN, size * tensor.element_size())


class Routes(NamedTuple):
    """How the routes of a case go, and what it leaves out."""

    reverse: tuple[bool, ...]
    paths: bool = False
    merge: str = "none"
    bare: bool = False


ROUTES = (
    Routes((True,), bare=True),
    Routes((False, True), merge="add"),
    Routes((False, True)),
    Routes((True, False), paths=True, merge="mean"),
    Routes((False, True, True), paths=True),
)


class Case(NamedTuple):
    """One call of a kernel, forward and backward."""

    operator: str
    routes: Routes
    length: int
    channels: int
    size: int
    dtype: str
    layout: str


def quick() -> Iterator[Case]:
    """Every type, memory order, way of routes, and every edge of every size, but not all together."""
    layouts = ("bld", "bdl")
    shapes = ((1, 1, 1), (31, 15, 3), (32, 17, 4), (33, 16, 5), (33, 1, 16), (65, 40, 17), (1, 17, 64))
    for number, (routes, dtype, layout) in enumerate(itertools.product(ROUTES, TYPES, layouts)):
        for shape in (shapes[number % 7], shapes[(3 * number + 2) % 7]):
            yield Case("scan", routes, *shape, dtype, layout)
    for number, (routes, dtype) in enumerate(itertools.product(ROUTES, TYPES)):
        for length, channels, _ in (shapes[number % 7], shapes[(3 * number + 2) % 7]):
            yield Case("conv1d", routes, length, channels, 1 + number % 5, dtype, "bld")


def full() -> Iterator[Case]:
    """All together."""
    sizes = (LENGTHS, CHANNELS, STATES, TYPES, ("bld", "bdl"))
    for routes, *shape in itertools.product(ROUTES, *sizes):
        yield Case("scan", routes, *shape)  # type: ignore[arg-type]
    for routes, *shape in itertools.product(ROUTES, LENGTHS, CHANNELS, (1, 3, 4), TYPES, ("bld",)):
        yield Case("conv1d", routes, *shape)  # type: ignore[arg-type]


def paths_of(case: Case, draw: torch.Generator) -> Tensor | None:
    if not case.routes.paths:
        return None
    return torch.stack([torch.randperm(case.length, generator=draw) for _ in case.routes.reverse])


def run_scan(case: Case, guard: Guard) -> None:
    draw = torch.Generator().manual_seed(sum(case[2:5]))
    routes, dtype, bare = len(case.routes.reverse), TYPES[case.dtype], case.routes.bare
    gap = 0 if case.channels % 2 else 3
    b, length, d, n = 2, case.length, case.channels, case.size

    def sequence(merged: bool) -> Tensor:
        lead = (b,) if merged else (routes, b)
        sizes = (length, d) if case.layout == "bld" else (d, length)
        rows = torch.randn(*lead, sizes[0], sizes[1] + gap, generator=draw).to(dtype)[..., : sizes[1]]
        return guard.place(rows if case.layout == "bld" else rows.transpose(-1, -2), frozen=True)

    def parameter(*sizes: int) -> Tensor:
        return guard.place(torch.randn(sizes, generator=draw), frozen=True)

    def vectors() -> Tensor:
        return guard.place(torch.randn(routes, b, length, n + gap, generator=draw).to(dtype)[..., :n], True)

    merged = case.routes.merge != "none"
    paths = paths_of(case, draw)
    x = scan.Inputs(
        u=sequence(False),
        delta=sequence(False),
        A=guard.place(-torch.rand(routes, d, n, generator=draw), frozen=True),
        B=vectors(),
        C=vectors(),
        D=None if bare else parameter(routes, d),
        z=None if bare else sequence(merged),
        delta_bias=None if bare else parameter(routes, d),
        paths=None if paths is None else guard.place(paths, frozen=True),
        delta_softplus=True,
        reverse=case.routes.reverse,
        merge=case.routes.merge,
        layout=case.layout,
    )
    with guard:
        alone = scan_forward.forward(x, False)
        out = scan_forward.forward(x, True)
        gradients = scan_backward.backward(sequence(merged), x, out.states, out.ungated)
    assert torch.equal(alone.y, out.y)
    check([*out, *gradients], guard)


def run_conv1d(case: Case, guard: Guard) -> None:
    draw = torch.Generator().manual_seed(sum(case[2:5]))
    routes, dtype = len(case.routes.reverse), TYPES[case.dtype]
    shape = (2, case.length, case.channels)

    def normal(*size: int) -> Tensor:
        return guard.place(torch.randn(size, generator=draw).to(dtype), frozen=True)

    paths = paths_of(case, draw)
    x = conv1d.Inputs(
        x=normal(*shape) if case.routes.merge == "none" else normal(routes, *shape),
        weight=normal(routes, case.channels, case.size),
        bias=None if case.routes.bare else normal(routes, case.channels),
        behind=min(1, case.size - 1),
        silu=not case.routes.bare,
        reverse=case.routes.reverse,
        paths=None if paths is None else guard.place(paths, frozen=True),
    )
    with guard:
        y = conv1d_forward.forward(x)
        gradients = conv1d_backward.backward(normal(routes, *shape), x)
    check([y, *gradients], guard)


def check(results: list[Tensor | None], guard: Guard) -> None:
    """Every result is written whole, from nothing but the inputs."""
    for number, result in enumerate(results):
        assert result is None or bool(result.isfinite().all()), f"result {number} is not finite"
    guard.check()


RUNS: dict[str, Callable[[Case, Guard], None]] = {"scan": run_scan, "conv1d": run_conv1d}


def main(which: str) -> None:
    torch.set_num_threads(1)
    for where in ("end", "start"):
        guard = Guard(where == "end")
        for case in quick() if which == "quick" else full():
            print(where, case, flush=True)
            RUNS[case.operator](case, guard)
            guard.clear()
    print("done")


main(*sys.argv[1:])
