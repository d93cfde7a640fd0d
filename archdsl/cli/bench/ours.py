"""Our scans as they are measured: every kernel that serves, both memory orders, both directions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from archdsl.cli.bench.peers.peer import (
    Peer,
    Ready,
    as_it_is,
    never_missing,
    steps_last,
    through_autograd,
    transposed,
)
from archdsl.cli.bench.problems import Problem
from archdsl.kernels import selective_scan as typed_scan
from archdsl.kernels.selective_scan import LADDER, Call

LAYOUTS = ("bld", "bdl")
selective_scan: Callable[..., Tensor] = typed_scan
REFERENCE = "reference"


def candidates(dtype: torch.dtype, device: str = "cpu") -> dict[str, str]:
    """The kernels that `auto` could take on a device, in order: why each does not serve, empty if it does."""
    typical = LADDER.typical(device, dtype, "bld")
    found = {}
    for candidate in LADDER.candidates:
        if not candidate.devices or device in candidate.devices:
            reason = LADDER.obstacle(candidate, typical)
            if reason is None and candidate.name != REFERENCE:
                reason = LADDER.proof(candidate, typical).reason
            found[candidate.name] = reason or ""
    return found


def our_peers(dtype: torch.dtype) -> list[Peer]:
    """A way for each kernel and memory order; the first is the one that others are compared with."""
    found = candidates(dtype)
    return [_peer(name, layout, reason) for name, reason in found.items() for layout in LAYOUTS]


def _peer(backend: str, layout: str, reason: str) -> Peer:
    def prepare(problem: Problem) -> Ready:
        return ready(problem, layout, backend)

    def refuses(problem: Problem, which: str) -> str:
        batch, length, channels = problem.u.shape
        call = Call(
            "cpu", problem.u.dtype, batch, length, channels, problem.A.shape[1], 1, True, layout=layout
        )
        candidate = next(c for c in LADDER.candidates if c.name == backend)
        return LADDER.obstacle(candidate, call) or ""

    order = "(b, l, d)" if layout == "bld" else "(b, d, l), as mamba_ssm has it"
    return Peer(
        f"{backend}, {layout}",
        f"archdsl's kernel `{backend}`, {order}",
        (lambda: reason) if reason else never_missing,
        prepare,
        refuses=refuses,
    )


def ready(problem: Problem, layout: str, backend: str) -> Ready:
    """Our scan in one memory order."""
    scan = partial(selective_scan, delta_softplus=True, layout=layout, backend=backend)
    if layout == "bld":
        return through_autograd(scan, problem.arguments, problem.dout, as_it_is)
    arguments, dout = steps_last(problem)
    return through_autograd(scan, arguments, dout, transposed)


def exact(problem: Problem) -> Ready:
    """The reference in float64: what every result is compared with."""
    scan = partial(selective_scan, delta_softplus=True, backend=REFERENCE)
    wide = problem.to(torch.float64)
    return through_autograd(scan, wide.arguments, wide.dout, as_it_is)


class BothWays(NamedTuple):
    """Two scans of one image, one read from its end, with a common gate; their outputs are added.

    Each has its own u, delta, A, B, C, D and bias.
    """

    there: Problem
    back: Problem

    @property
    def stacked(self) -> tuple[Tensor, ...]:
        """The arguments with the two routes in front; the gate without."""
        pairs = zip(self.there.arguments, self.back.arguments, strict=True)
        first = [torch.stack(pair) for pair in pairs]
        first[6] = self.there.z
        return tuple(first)


def one_call(x: tuple[Tensor, ...], backend: str) -> Tensor:
    """Both directions in one call."""
    return selective_scan(*x, delta_softplus=True, direction="both", merge="add", backend=backend)


def two_calls(x: tuple[Tensor, ...], backend: str) -> Tensor:
    """A call for each direction."""
    there, back = _apart(x)
    y = selective_scan(*there, delta_softplus=True, backend=backend)
    return y + selective_scan(*back, delta_softplus=True, direction="backward", backend=backend)


def with_flips(x: tuple[Tensor, ...], backend: str) -> Tensor:
    """Two forward scans, one of copies in reverse order."""
    there, back = _apart(x)
    y = selective_scan(*there, delta_softplus=True, backend=backend)
    turned = [v.flip(1) if v.ndim == 3 else v for v in back]
    return y + selective_scan(*turned, delta_softplus=True, backend=backend).flip(1)


def with_flips_bdl(x: tuple[Tensor, ...], backend: str) -> Tensor:
    """As Vim does it: steps last in memory, two forward scans, one of copies in reverse order."""
    there, back = _apart(x)
    scan = partial(selective_scan, delta_softplus=True, layout="bdl", backend=backend)
    turned = [v.flip(-1) if v.ndim == 3 else v for v in back]
    return scan(*there) + scan(*turned).flip(-1)


def _apart(x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    there, back = ([v[k] for v in x[:6]] for k in (0, 1))
    return [*there, x[6], x[7][0]], [*back, x[6], x[7][1]]


WAYS: dict[str, Callable[[tuple[Tensor, ...], str], Tensor]] = {
    "both, one call": one_call,
    "both, two calls": two_calls,
    "both, flips": with_flips,
    "both, flips, bdl": with_flips_bdl,
}
ONE_DIRECTION = "one direction"


def ready_both_ways(x: BothWays, name: str, backend: str) -> Ready:
    """One of `WAYS`, or one direction of them."""
    if name == ONE_DIRECTION:
        scan = partial(selective_scan, delta_softplus=True, backend=backend)
        return through_autograd(scan, x.there.arguments, x.there.dout, as_it_is)
    way = WAYS[name]
    if name.endswith("bdl"):
        return ready_steps_last(x, lambda *v: way(v, backend))
    return through_autograd(lambda *v: way(v, backend), x.stacked, x.there.dout, as_it_is)


def ready_steps_last(x: BothWays, scan: Callable[..., Tensor]) -> Ready:
    """A function of the stacked arguments that takes and gives sequences with steps last in memory."""
    sequences = (0, 1, 3, 4, 6)
    given = tuple(v.transpose(-1, -2).contiguous() if i in sequences else v for i, v in enumerate(x.stacked))
    inner = through_autograd(scan, given, transposed(x.there.dout).contiguous(), as_it_is)

    def both() -> tuple[Tensor, ...]:
        return tuple(g.transpose(-1, -2) if i in sequences else g for i, g in enumerate(inner.both()))

    return Ready(lambda: transposed(inner.forward()), both)
