"""What a kernel of the selective scan has to get right before it serves.

The inputs are small and nearly all awkward: no number of channels or states is a multiple of a vector,
lengths go over chunks of saved states, one route is reversed, paths are permuted, tensors are slices of
larger ones. One is as even as those of most models, because kernels are compiled apart for such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.proof import TOLERANCE, Measured, WrongError, difference
from archdsl.kernels.selective_scan import reference
from archdsl.kernels.selective_scan.inputs import Call, Inputs, Kernel, call_of, empty, state_dtype

NAMES = Inputs._fields[:8]


class Shape(NamedTuple):
    """The inputs of one test; r is the number of entries of `reverse`.

    Args:
        full: with D, a gate, a bias of the steps and softplus.
        shared: all routes read one sequence.
        whole: tensors are no slices.
        spoiled: once more, with a NaN in the sequence.
    """

    reverse: tuple[bool, ...]
    batch: int
    length: int
    channels: int
    state: int
    merge: str = "none"
    paths: bool = False
    full: bool = True
    shared: bool = False
    whole: bool = False
    spoiled: bool = False


SHAPES = (
    Shape((False, True), 1, 66, 19, 5, merge="mean", paths=True, shared=True),
    Shape((True, False), 2, 33, 7, 3, merge="add", full=False),
    Shape((True,), 1, 37, 33, 18, spoiled=True),
    Shape((False,), 1, 32, 32, 16, whole=True),
)
LONG = Shape((False, True), 1, 200, 19, 5, merge="add", shared=True)
"""Where kernels split a sequence to have more to do at once: on GPUs."""


def prove(kernel: Kernel, call: Call, supports: Callable[[Call], str | None]) -> Iterator[Measured]:
    """Compares a kernel with the reference in the type, the layout and on the device of a call.

    Raises:
        WrongError: for results of wrong shapes or types, and for inputs changed in place.
    """
    numbers = _Numbers(call)
    for shape in (*SHAPES, LONG) if call.device == "cuda" else SHAPES:
        x = _inputs(shape, numbers)
        if supports(call_of(x)) is not None:
            continue
        yield from _compared(kernel, x, numbers.gradient(*x.u.shape[0 if x.merge == "none" else 1 :]))
        if shape.spoiled:
            x.u[0, 0, 20, 2] = float("nan")
            expected = reference.forward(_exact(x), False).y
            yield Measured("y behind a NaN", difference(kernel.forward(x, False).y, expected), _allowed(x))


def typical(device: str, dtype: torch.dtype, layout: str) -> Call:
    """The scan of a tokens mixer of a small model."""
    return Call(device, dtype, 1, 197, 384, 16, layout=layout)


def _compared(kernel: Kernel, x: Inputs, dout: Tensor) -> Iterator[Measured]:
    allowed = _allowed(x)
    tensors = zip((*NAMES, "paths", "dout"), (*x[:9], dout), strict=True)
    given = {name: v for name, v in tensors if v is not None}
    before = {name: v.clone() for name, v in given.items()}
    exact, exact_dout = _exact(x), dout.to("cpu", torch.float64, copy=True)
    expected = reference.forward(exact, True)
    wanted = reference.backward(exact_dout, exact, expected.states, expected.ungated)

    found = kernel.forward(x, True)
    _fits("y", found.y, dout)
    alone = kernel.forward(x, False).y
    gradients = kernel.backward(dout, x, found.states, found.ungated)
    for name, v in given.items():
        if not torch.equal(v, before[name]):
            raise WrongError(f"it changes its input {name}")
    yield Measured("y", difference(found.y, expected.y), allowed)
    yield Measured("y where nothing is saved", difference(alone, expected.y), allowed)
    for name, mine, theirs in zip(NAMES, gradients, wanted, strict=True):
        if theirs is None:
            continue
        if mine is None:
            raise WrongError(f"there is no gradient of {name}")
        _fits(f"the gradient of {name}", mine, given[name])
        yield Measured(f"the gradient of {name}", difference(mine, theirs), allowed)


def _fits(what: str, found: Tensor, like: Tensor) -> None:
    if found.shape != like.shape or found.dtype != like.dtype or found.device != like.device:
        raise WrongError(f"{what} is {_described(found)}, expected {_described(like)}")


def _described(v: Tensor) -> str:
    return f"{tuple(v.shape)} {str(v.dtype).removeprefix('torch.')} on {v.device}"


def _allowed(x: Inputs) -> float:
    return TOLERANCE[x.u.dtype]


class _Numbers:
    """Tensors of normal numbers as a call has them: on its device, in its types and memory order."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.draw = torch.Generator().manual_seed(0)
        self.nothing = torch.empty(0, dtype=call.dtype, device=call.device)

    def normal(self, *size: int) -> Tensor:
        """Float32 on the CPU."""
        return torch.randn(size, generator=self.draw, dtype=torch.float32, device="cpu")

    def sequence(self, values: Tensor, whole: bool) -> Tensor:
        """A slice of a larger tensor, (..., l, d)."""
        *front, length, channels = values.shape
        more = 0 if whole else 3
        wide = (length, channels + more) if self.call.layout == "bld" else (length + more, channels)
        room = empty((*front, *wide), self.call.dtype, self.call.layout, self.nothing)
        return room[..., :length, :channels].copy_(values)

    def gradient(self, *size: int) -> Tensor:
        """Of an output: no slice."""
        return self.sequence(self.normal(*size), whole=True)

    def projected(self, *size: int, whole: bool) -> Tensor:
        """B or C: a slice of a larger tensor, (..., l, n)."""
        values = self.normal(*size[:-1], size[-1] if whole else 2 * size[-1])
        return values.to(self.call.device, self.call.dtype)[..., : size[-1]]

    def parameter(self, values: Tensor) -> Tensor:
        """A, D or the bias."""
        return values.to(self.call.device, state_dtype(self.call.dtype))

    def path(self, length: int) -> Tensor:
        """An order of the steps."""
        return torch.randperm(length, generator=self.draw, device="cpu").to(self.call.device)


def _inputs(shape: Shape, numbers: _Numbers) -> Inputs:
    r, normal, parameter, whole = len(shape.reverse), numbers.normal, numbers.parameter, shape.whole
    images = (shape.batch, shape.length, shape.channels)
    steps = normal(r, *images) - 1
    steps[0, 0, 9, 1] = 22.0
    decay = -normal(r, shape.channels, shape.state).exp()
    decay[0, 0, 0], decay[0, 1, 0] = 0.0, 0.01
    gate = images if shape.merge != "none" else (r, *images)
    return Inputs(
        numbers.sequence(normal(1 if shape.shared else r, *images), whole).expand(r, *images),
        numbers.sequence(steps if shape.full else steps.abs().clamp(max=2) / 2, whole),
        parameter(decay),
        numbers.projected(r, *images[:2], shape.state, whole=whole),
        numbers.projected(r, *images[:2], shape.state, whole=whole),
        parameter(normal(r, shape.channels)) if shape.full else None,
        numbers.sequence(normal(*gate), whole) if shape.full else None,
        parameter(normal(r, shape.channels) - 1) if shape.full else None,
        torch.stack([numbers.path(shape.length) for _ in range(r)]) if shape.paths else None,
        shape.full,
        shape.reverse,
        shape.merge,
        numbers.call.layout,
    )


def _exact(x: Inputs) -> Inputs:
    """The same numbers in float64 on the CPU."""
    exact = (None if v is None else v.to("cpu", torch.float64, copy=True) for v in x[:8])
    paths = None if x.paths is None else x.paths.cpu()
    return Inputs(*exact, paths, *x[9:])  # type: ignore[arg-type, call-arg]
