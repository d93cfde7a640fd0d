"""Arguments of a selective scan: whether they fit, and how kernels want them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from archdsl.kernels.selective_scan.inputs import Inputs, state_dtype

WORDS = {"forward": (False,), "backward": (True,), "both": (False, True)}

_seen: WeakIdKeyDictionary = WeakIdKeyDictionary()
"""Versions of the paths that were found to be permutations."""


def directions(direction: str | Sequence[str], routes: int) -> tuple[bool, ...]:
    """For each route, whether it is read from its end.

    Raises:
        ValueError: for unknown words, and where their number is not that of the routes.
    """
    words = (direction,) if isinstance(direction, str) else tuple(direction)
    for word in words:
        if word not in WORDS:
            raise ValueError(f"direction is `forward`, `backward` or `both`, not `{word}`")
    reverse = tuple(r for word in words for r in WORDS[word])
    if len(reverse) == 1:
        reverse *= routes
    if len(reverse) != routes:
        raise ValueError(f"selective_scan: {len(reverse)} directions for {routes} routes")
    return reverse


def check(x: Inputs, single: bool) -> None:
    """Raises ValueError where shapes or types do not fit; told without routes for a `single` one."""
    u, A = x.u, x.A
    if A.ndim != 3:
        raise ValueError(f"selective_scan: A has {A.ndim - single} dimensions, expected {3 - single}")
    routes, batch, length, channels = u.shape
    sequence, projected = (routes, batch, length, channels), (routes, batch, length, A.shape[2])
    vector = (routes, channels)
    wanted = {
        "u": sequence,
        "delta": sequence,
        "A": (routes, channels, A.shape[2]),
        "B": projected,
        "C": projected,
        "D": vector,
        "z": sequence if x.merge == "none" else sequence[1:],
        "delta_bias": vector,
        "paths": (routes, length),
    }
    for name, shape in wanted.items():
        tensor = getattr(x, name)
        if tensor is None:
            continue
        found = tuple(tensor.shape)
        if found != shape:
            order = "channels last" if single else "routes first, channels last"
            hidden = single and name != "paths" and (name != "z" or x.merge == "none")
            raise ValueError(
                f"selective_scan: {name} is {found[hidden:]}, expected {shape[hidden:]} ({order})"
            )
        if name != "paths" and not tensor.is_floating_point():
            raise ValueError(f"selective_scan: {name} is {tensor.dtype}, expected a floating-point type")
        if tensor.device != u.device:
            raise ValueError(f"selective_scan: {name} is on {tensor.device}, u on {u.device}")


def normalised(x: Inputs) -> Inputs:
    """The same scan as kernels want it, see `Inputs`; copies only what is not so already.

    Raises:
        ValueError: where paths are no permutations.
    """
    common = reduce(torch.promote_types, (v.dtype for v in (x.u, x.delta, x.B, x.C, x.z) if v is not None))
    state = state_dtype(common)
    if x.paths is not None:
        _need_permutations(x.paths)

    def parameter(v: Tensor | None) -> Tensor | None:
        return None if v is None else v.to(state).contiguous()

    return Inputs(
        ordered(x.u.to(common), x.layout),
        ordered(x.delta.to(common), x.layout),
        x.A.to(state).contiguous(),
        ordered(x.B.to(common), "bld"),
        ordered(x.C.to(common), "bld"),
        parameter(x.D),
        None if x.z is None else ordered(x.z.to(common), x.layout),
        parameter(x.delta_bias),
        None if x.paths is None else x.paths.long().contiguous(),
        x.delta_softplus,
        x.reverse,
        x.merge,
        x.layout,
    )


def ordered(v: Tensor, layout: str) -> Tensor:
    """A sequence (..., l, d) with channels last in memory, or steps last, as `layout` says."""
    along = -1 if layout == "bld" else -2
    if v.stride(along) == 1 or v.shape[along] == 1:
        return v
    return v.contiguous() if layout == "bld" else v.transpose(-1, -2).contiguous().transpose(-1, -2)


def _need_permutations(paths: Tensor) -> None:
    version = -1 if paths.is_inference() else paths._version
    if version >= 0 and paths in _seen and _seen[paths] == version:
        return
    steps = torch.arange(paths.shape[1], device=paths.device)
    if not bool((paths.sort(dim=1).values == steps).all()):
        raise ValueError("selective_scan: each of the paths has to visit every step once")
    if version >= 0:
        _seen[paths] = version
