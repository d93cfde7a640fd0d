"""The selective scan of the mamba-ssm package, through the functions of its CUDA extension.

The extension alone is asked for: importing the package brings in much that a scan does not need, and that
fails more often. It takes steps last in memory, reads forward only and knows groups of channels with B and C
of their own: so routes become groups of one call, those read from their end are flipped before and after,
and merging them is left to PyTorch. Its saved states are not ours: the backward runs its forward again.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from archdsl.kernels.proof import told
from archdsl.kernels.selective_scan.inputs import (
    Call,
    Gradients,
    Inputs,
    Kernel,
    Outputs,
    empty,
)
from archdsl.kernels.selective_scan.saved import no_states

PACKAGE, EXTENSION = "mamba_ssm", "selective_scan_cuda"
MOST_STATES = 256
MOST_CHANNELS = 65535
"""Of all routes together: the second dimension of its grid."""
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def available() -> str | None:
    """Why its operator is not here, None where it is; imports the extension at the first call."""
    if not _is_there(PACKAGE):
        return "mamba-ssm is not installed"
    if not _is_there(EXTENSION):
        return f"mamba-ssm lacks its CUDA extension {EXTENSION}"
    return _trouble() or (None if torch.cuda.is_available() else "there is no CUDA device")


def supports(call: Call) -> str | None:
    """Why a scan is not served, None where it is."""
    if call.device != "cuda":
        return f"it does not run on {call.device}"
    if call.dtype not in TYPES:
        return f"it does not compute in {call.dtype}"
    if call.paths:
        return "it knows no paths"
    if call.state > MOST_STATES:
        return f"{call.state} states are more than {MOST_STATES}"
    if call.routes * call.channels > MOST_CHANNELS:
        return f"{call.routes * call.channels} channels are more than {MOST_CHANNELS}"
    return None


def load() -> Kernel:
    """Forward and backward."""
    return Kernel(forward, backward, saves=False)


def forward(x: Inputs, saves: bool) -> Outputs:
    """The output, and the result before the gate where `saves`, but no states."""
    scan = _Scan(x)
    plain, _, *gated = scan.forward()
    y = x.u.new_empty(0)
    ungated = scan.routes(plain)
    if x.merge != "none":
        ungated = scan.merged(ungated)
    if gated:
        y = scan.routes(gated[0])
    elif x.z is not None:
        z = x.z.float()
        y = ungated * z * z.sigmoid()
    else:
        y = ungated
    nothing = x.u.new_empty(0)
    if not saves:
        return Outputs(_laid(y, x), x.A.new_empty(0), nothing)
    return Outputs(_laid(y, x), no_states(x), nothing if x.z is None else _laid(ungated, x))


def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
    """The gradients; `states` and `ungated` are not looked at."""
    scan = _Scan(x)
    plain, kept, *_ = scan.forward()
    dz = None
    if x.merge == "none":
        of_routes = dout
    else:
        wide = dout.float()
        if x.z is not None:
            z = x.z.float()
            gate = z.sigmoid()
            dz = wide * scan.merged(scan.routes(plain)) * gate * (1 + z * (1 - gate))
            wide = wide * z * gate
        of_routes = (wide * x.share).to(x.u.dtype).expand(x.u.shape)
    du, ddelta, dA, dB, dC, dD, dbias, *rest = scan.backward(of_routes, kept, plain)
    batch, length = x.u.shape[1:3]
    if rest:
        dz = scan.routes(rest[0])
    return Gradients(
        _laid(scan.routes(du), x),
        _laid(scan.routes(ddelta), x),
        dA.view(x.A.shape).to(x.A.dtype),
        scan.routes(dB.reshape(batch, -1, length)).to(x.B.dtype).contiguous(),
        scan.routes(dC.reshape(batch, -1, length)).to(x.C.dtype).contiguous(),
        None if x.D is None else dD.view(x.D.shape).to(x.D.dtype),
        None if dz is None else _laid(dz, x),
        None if x.delta_bias is None else dbias.view(x.delta_bias.shape).to(x.delta_bias.dtype),
    )


class _Arguments(NamedTuple):
    """What the extension takes: channels of all routes (b, r d, l), groups (b, r, n, l)."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None


class _Scan:
    """One scan as the extension wants it."""

    def __init__(self, x: Inputs) -> None:
        self.x = x
        self.extension: Any = importlib.import_module(EXTENSION)
        n = x.A.shape[-1]
        groups = (x.u.shape[1], len(x.reverse), n, x.u.shape[2])
        self.arguments = _Arguments(
            self.joined(x.u),
            self.joined(x.delta),
            x.A.flatten(0, 1),
            self.joined(x.B).view(groups),
            self.joined(x.C).view(groups),
            None if x.D is None else x.D.flatten(),
            self.joined(x.z) if x.z is not None and x.merge == "none" else None,
            None if x.delta_bias is None else x.delta_bias.flatten(),
        )

    def forward(self) -> list[Tensor]:
        """The output before the gate, what the backward wants, and the gated output if there is a gate."""
        return list(self.extension.fwd(*self.arguments, self.x.delta_softplus))

    def backward(self, dout: Tensor, kept: Tensor, plain: Tensor) -> list[Tensor]:
        """Gradients of u, delta, A, B, C, D, the bias, and of the gate if there is one."""
        out = None if self.arguments.z is None else plain
        given = (self.joined(dout), kept, out, None, self.x.delta_softplus, False)
        *sequences, z, bias = self.arguments
        return list(self.extension.bwd(*sequences, z, bias, *given))

    def joined(self, v: Tensor) -> Tensor:
        """(r, b, l, k) as (b, r k, l), steps last in memory and in the order of reading."""
        routes, batch, length, width = v.shape
        v = v.permute(1, 0, 3, 2)
        if any(self.x.reverse):
            v = torch.stack([self._turned(v[:, k], k) for k in range(routes)], 1)
        return v.reshape(batch, routes * width, length).contiguous()

    def routes(self, v: Tensor) -> Tensor:
        """The reverse of `joined`, in any memory order."""
        routes = len(self.x.reverse)
        v = v.view(v.shape[0], routes, -1, v.shape[-1])
        if any(self.x.reverse):
            v = torch.stack([self._turned(v[:, k], k) for k in range(routes)], 1)
        return v.permute(1, 0, 3, 2)

    def merged(self, v: Tensor) -> Tensor:
        """The sum of the routes, or their mean, in float32."""
        return v.sum(0, dtype=torch.float32) * self.x.share

    def _turned(self, v: Tensor, route: int) -> Tensor:
        return v.flip(-1) if self.x.reverse[route] else v


def _laid(v: Tensor, x: Inputs) -> Tensor:
    """A sequence in the type and memory order of the inputs."""
    return empty(tuple(v.shape), x.u.dtype, x.layout, x.u).copy_(v)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


@cache
def _trouble() -> str | None:
    """What the import of the extension raises."""
    try:
        extension = importlib.import_module(EXTENSION)
    except (Exception, SystemExit) as error:
        return f"the import of {EXTENSION} raises {told(error)}"
    missing = [name for name in ("fwd", "bwd") if not callable(getattr(extension, name, None))]
    return f"{EXTENSION} has no {' and no '.join(missing)}" if missing else None
