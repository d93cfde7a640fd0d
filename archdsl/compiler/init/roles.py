"""What a module is for, as far as initial weights depend on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import nn

from archdsl.compiler.modules import Placed


@dataclass(frozen=True, slots=True)
class Role:
    """The place of a module in the architecture.

    Args:
        op: name of the operator that it belongs to.
        where: `stem`, `stages` or `head`.
        route: which route of a `routed` it serves, counted from 0; 0 outside.
        ends_branch: whether it is the last linear of a residual branch.
        branches: number of residual branches in the architecture.
    """

    op: str
    where: str
    route: int = 0
    ends_branch: bool = False
    branches: int = 0


def roles(placed: Mapping[str, Placed]) -> Iterator[tuple[nn.Module, Role]]:
    """Every module that may hold weights of its own, with its role; modules that are shared come once."""
    branches = sum(
        p.node.op.name == "residual"
        for path, top in placed.items()
        if path.startswith("stages.")
        for p in top.walk()
    )
    seen: set[int] = set()
    for path, top in placed.items():
        first = Role(top.node.op.name, path.partition(".")[0], branches=branches)
        for module, role in _inside(top, first, None):
            if id(module) not in seen:
                seen.add(id(module))
                yield module, role


def _inside(placed: Placed, role: Role, last: nn.Module | None) -> Iterator[tuple[nn.Module, Role]]:
    name = placed.node.op.name
    if name == "residual":
        last = _last_linear(placed)
    for module in placed.own_modules():
        yield module, replace(role, op=name, ends_branch=module is last)
    for index, part in enumerate(placed.parts):
        route = index if name == "routed" else role.route
        yield from _inside(part, replace(role, route=route), last)


_WITHOUT_LAST = frozenset({"selective_scan", "linear_attention"})
"""Operators whose linears stand in front of what they do."""


def _last_linear(placed: Placed) -> nn.Module | None:
    """The linear that everything in a sequence goes through last, or None."""
    last = next((p for p in _from_behind(placed) if p.node.op.name not in _PASSED), None)
    if last is None or last.node.op.name in _WITHOUT_LAST:
        return None
    own = [m for m in last.own_modules() if isinstance(m, nn.Linear)]
    return own[-1] if own else None


_PASSED = frozenset({"drop_path", "layer_scale"})
"""Operators that a branch may end in behind its last linear."""


def _from_behind(placed: Placed) -> Iterator[Placed]:
    """The operators of a sequence, sequences inside it opened, the last one first."""
    for part in reversed(placed.parts):
        if part.node.op.sequence:
            yield from _from_behind(part)
        else:
            yield part
