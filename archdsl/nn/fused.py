"""Convolution, scan and gate of a mixer in one operator, where its modules are those they were built as.

The classes here have the parts, names and weights of those they replace, and compute the same. They run their
parts one by one, as those do, where the parts are not what they were (hooks, exchanged modules), where a
route visits zero slots on the map at hand, and where types of autocast are mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from archdsl.kernels.ladder import Choice
from archdsl.kernels.mamba_inner import Inputs, mamba_inner
from archdsl.kernels.selective_scan import LADDER, Call
from archdsl.nn.chain import Chain
from archdsl.nn.conv1d import Conv1d
from archdsl.nn.linear import Linear
from archdsl.nn.partial import Partial
from archdsl.nn.residual import Residual
from archdsl.nn.routed import Routed
from archdsl.nn.selective_scan import SelectiveScan, StepSizes
from archdsl.nn.split import Split
from archdsl.nn.stream import Stream, run
from archdsl.nn.windowed import Windowed


class FusedRouted(Routed):
    """`Routed` over scans, or over convolutions with silu and scans."""

    def forward(self, s: Stream) -> Stream:
        """The merged routes."""
        y = _computed(s.x, _routed(self, s), gated=False)
        return super().forward(s) if y is None else s.with_x(y)


class FusedSplit(Split):
    """`Split` into what scans, alone or along routes, and a silu that it is multiplied by."""

    def forward(self, s: Stream) -> Stream:
        """The gated scans."""
        y = _computed(s.x, _gated(self, s), gated=True)
        return super().forward(s) if y is None else s.with_x(y)


class FusedChain(Chain):
    """`Chain` with a convolution, silu and a scan behind each other, once or several times."""

    def forward(self, s: Stream) -> Stream:
        """Every part behind the one before it."""
        parts = self.parts()
        at = 0
        while at < len(parts):
            y = _computed(s.x, _single(parts[at : at + 3]), gated=False) if at + 3 <= len(parts) else None
            s = run(parts[at], s) if y is None else s.with_x(y)
            at += 1 if y is None else 3
        return s


class FusedResidual(Residual, FusedChain):
    """`Residual` with such a chain inside."""


class FusedPartial(Partial, FusedChain):
    """`Partial` with such a chain inside."""


class FusedWindowed(Windowed, FusedChain):
    """`Windowed` with such a chain inside."""


class _Branch(NamedTuple):
    """The modules of one route."""

    conv: Conv1d | None
    scan: SelectiveScan


class _Routes(NamedTuple):
    """The routes of one operator; see `archdsl.kernels.mamba_inner.Inputs`."""

    branches: Sequence[_Branch]
    reverse: tuple[bool, ...]
    paths: Tensor | None
    mean: bool


def fused_scans(module: nn.Module) -> list[SelectiveScan]:
    """The scans that the operator of a module computes."""
    if isinstance(module, FusedRouted | FusedSplit):
        return [m for m in module.modules() if isinstance(m, SelectiveScan)]
    if isinstance(module, FusedChain):
        parts = module.parts()
        return [scan for i in range(len(parts) - 2) for _, scan in _branches([parts[i : i + 3]])]
    return []


def fused_choice(module: nn.Module, s: Stream) -> Choice[Any, Any] | None:
    """The kernel of the scan in a module's operator, None where its parts run one by one.

    Raises:
        ValueError: where `backend` of the scans can't serve them.
    """
    routes: _Routes | None = None
    if isinstance(module, FusedSplit):
        routes = _gated(module, s)
    elif isinstance(module, FusedRouted):
        routes = _routed(module, s)
    elif isinstance(module, FusedChain):
        parts = module.parts()
        found = (_single(parts[i : i + 3]) for i in range(len(parts) - 2))
        routes = next((r for r in found if r is not None), None)
    if routes is None:
        return None
    scan = routes.branches[0].scan
    batch, tokens, _ = s.x.shape
    channels, state = scan.A_log.shape
    call = Call(
        s.x.device.type,
        s.x.dtype,
        batch,
        tokens,
        channels,
        state,
        routes=len(routes.branches),
        gated=isinstance(module, FusedSplit),
        paths=routes.paths is not None,
        merge="mean" if routes.mean else "add",
    )
    return LADDER.explain(call, scan.backend)


def _gated(module: Split, s: Stream) -> _Routes | None:
    inner, gate = module.parts()
    if type(gate) is not nn.SiLU or _watched(gate) or _watched(inner):
        return None
    if isinstance(inner, Routed):
        return _routed(inner, s)
    return _single(_steps(inner))


def _routed(module: Routed, s: Stream) -> _Routes | None:
    parts = module.parts()
    branches = _branches([[] if _watched(part) else _steps(part) for part in parts])
    kinds = {(b.conv is None, b.scan.backend) for b in branches}
    if len(branches) != len(parts) or len(kinds) != 1:
        return None
    paths = None
    if any(order.path != "rows" for order in module.order):
        paths = module.paths(s)
        if paths is None:
            return None
    return _Routes(branches, tuple(o.reverse for o in module.order), paths, module.merge == "mean")


def _single(steps: Sequence[nn.Module]) -> _Routes | None:
    branches = _branches([steps])
    return _Routes(branches, (False,), None, False) if branches else None


def _steps(part: nn.Module) -> Sequence[nn.Module]:
    """What runs one behind the other in a part."""
    return part.parts() if isinstance(part, Chain) and type(part) in (Chain, FusedChain) else [part]


def _branches(routes: Sequence[Sequence[nn.Module]]) -> list[_Branch]:
    """Those of routes that are a scan, or a convolution, silu and a scan, as this package builds them."""
    found = []
    for steps in routes:
        if len(steps) not in (1, 3):
            continue
        scan = steps[-1]
        if type(scan) is not SelectiveScan or scan.direction != "forward":
            continue
        if type(scan.x_proj) not in (nn.Linear, Linear) or type(scan.dt_proj) is not StepSizes:
            continue
        if any(map(_watched, (*steps, scan.x_proj, scan.dt_proj))):
            continue
        if len(steps) == 1:
            found.append(_Branch(None, scan))
        elif type(steps[0]) is Conv1d and type(steps[1]) is nn.SiLU:
            found.append(_Branch(steps[0], scan))
    return found


def _watched(module: nn.Module) -> bool:
    """Whether somebody wants to know when the module runs."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def _computed(xz: Tensor, routes: _Routes | None, gated: bool) -> Tensor | None:
    """The result of the operator; None where it does not compute what its modules do one by one."""
    if routes is None:
        return None
    autocast = not xz.is_meta and torch.is_autocast_enabled(xz.device.type)
    if autocast and xz.dtype != torch.get_autocast_dtype(xz.device.type):
        return None
    convs = [b.conv for b in routes.branches if b.conv is not None]
    scans = [b.scan for b in routes.branches]
    biases = {scan.bias_in_projection for scan in scans}
    behind = {conv.zeros for conv in convs}
    if len(biases) > 1 or len(behind) > 1 or len({conv.bias is None for conv in convs}) > 1:
        return None

    def cast(v: Tensor) -> Tensor:
        return v.to(xz.dtype) if autocast else v

    conv_biases = [conv.bias for conv in convs if conv.bias is not None]
    inputs = Inputs(
        xz,
        cast(_stacked([conv.weight for conv in convs])) if convs else None,
        cast(_stacked(conv_biases)) if conv_biases else None,
        cast(_stacked([scan.x_proj.weight for scan in scans])),
        cast(_stacked([scan.dt_proj.weight for scan in scans])),
        _stacked([scan.dt_proj.bias for scan in scans]),
        _stacked([scan.A_log for scan in scans]),
        _stacked([scan.D for scan in scans]),
        routes.paths,
        gated,
        convs[0].zeros[3] if convs else 0,
        2 if scans[0].bias_in_projection else 1,
        routes.reverse,
        routes.mean,
    )
    return mamba_inner(inputs, scans[0].backend)


def _stacked(parameters: list[Tensor]) -> Tensor:
    """Those of all routes as one, routes in front; without a copy where there is one route."""
    return parameters[0].unsqueeze(0) if len(parameters) == 1 else torch.stack(parameters)
