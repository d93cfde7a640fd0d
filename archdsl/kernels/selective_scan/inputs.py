"""What a selective scan is given, what it returns, and what is known of it before it runs."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

CHUNK = 32
"""Steps between two saved states, in the order of reading."""


class Inputs(NamedTuple):
    """The arguments of a scan as kernels get them: r routes, b images, l steps, d channels, n states.

    u, delta, z, B and C have one type. u, delta and z have stride 1 along d or along l, as `layout` says, B
    and C along n; other strides are free, 0 for what routes or images share. A, D and delta_bias are
    contiguous and of the state's type.

    Args:
        u: (r, b, l, d) the sequences.
        delta: (r, b, l, d) step sizes, before bias and softplus.
        A: (r, d, n) decay rates, negative in a stable scan.
        B, C: (r, b, l, n) input and output vectors, common to all channels.
        D: (r, d) weight of the input in the output.
        z: gate: the output is multiplied by silu(z), after the merge; of the output's shape.
        delta_bias: (r, d) added to delta.
        paths: (r, l) int64: step t of route k reads and writes row `paths[k, t]`; None for rows in order.
        delta_softplus: whether delta goes through softplus, after the bias.
        reverse: for each route, whether it is read from its end.
        merge: `none`: the output is (r, b, l, d); `add`, `mean`: routes become one, (b, l, d).
        layout: `bld` for channels last in memory, `bdl` for steps last; of u, delta, z, of the output and of
            their gradients.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    paths: Tensor | None
    delta_softplus: bool
    reverse: tuple[bool, ...]
    merge: str
    layout: str

    @property
    def state_dtype(self) -> torch.dtype:
        """The type everything is computed in."""
        return state_dtype(self.u.dtype)

    @property
    def share(self) -> float:
        """What each route's output is multiplied by in the merge."""
        return 1 / len(self.reverse) if self.merge == "mean" else 1.0


class Outputs(NamedTuple):
    """What the forward returns.

    Args:
        y: (r, b, l, d), or (b, l, d) of merged routes.
        states: (r, b, chunks + 1, n, d) in the state's type: the state before every `CHUNK` steps in the
            order of reading, and the last one; (0) where nothing is saved.
        ungated: y before the gate; (0) where nothing is saved or there is no gate.
    """

    y: Tensor
    states: Tensor
    ungated: Tensor


class Gradients(NamedTuple):
    """Gradients in the order of `Inputs`, in their types and shapes; None where an input was None."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None


class Forward(Protocol):
    """The forward of a kernel: outputs, with what its backward needs where `saves`."""

    def __call__(self, x: Inputs, saves: bool) -> Outputs: ...


class Backward(Protocol):
    """The backward of a kernel, from the gradient of y and what a forward saved, of any kernel."""

    def __call__(self, dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients: ...


class Kernel(NamedTuple):
    """The two functions of a kernel.

    Args:
        forward, backward: the functions.
        saves: whether the forward saves states, and the backward wants them. Where not, the forward returns
            `saved.no_states` in their place.
    """

    forward: Forward
    backward: Backward
    saves: bool = True


class Call(NamedTuple):
    """What a kernel needs to know to tell whether it serves a scan.

    Args:
        device: type of the device (`cpu`, `cuda`).
        dtype: of the sequence.
        batch, length, channels, state: b, l, d, n of `Inputs`.
        routes: r.
        gated: whether there is a z.
        paths: whether there are paths.
        merge, layout: of `Inputs`.
    """

    device: str
    dtype: torch.dtype
    batch: int
    length: int
    channels: int
    state: int
    routes: int = 1
    gated: bool = False
    paths: bool = False
    merge: str = "none"
    layout: str = "bld"


def call_of(x: Inputs) -> Call:
    """What decides about the kernel."""
    routes, batch, length, channels = x.u.shape
    return Call(
        x.u.device.type,
        x.u.dtype,
        batch,
        length,
        channels,
        x.A.shape[-1],
        routes,
        x.z is not None,
        x.paths is not None,
        x.merge,
        x.layout,
    )


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """The type of the state for sequences of a type: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def empty(shape: tuple[int, ...], dtype: torch.dtype, layout: str, like: Tensor) -> Tensor:
    """An uninitialised sequence (..., l, d) on the device of `like`, in the memory order of `layout`."""
    if layout == "bld":
        return like.new_empty(shape, dtype=dtype)
    return like.new_empty((*shape[:-2], shape[-1], shape[-2]), dtype=dtype).transpose(-1, -2)


def saved_states_shape(u: Tensor, A: Tensor) -> tuple[int, ...]:
    """The shape of `Outputs.states` for u (r, b, l, d) and A (r, d, n)."""
    routes, batch, length, channels = u.shape
    return (routes, batch, (length + CHUNK - 1) // CHUNK + 1, A.shape[-1], channels)
