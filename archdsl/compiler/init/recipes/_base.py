"""What recipes are made of.

A recipe leaves alone what it does not name: there PyTorch's initial values stand, or the operator's own
(the selective scan starts as in Mamba: dt from 0.001 to 0.1, A = -1 ... -S, D = 1; layer scale at its
`init`; norms at 1 and 0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

from torch import nn
from torch.nn import init

from archdsl.compiler.init.roles import Role
from archdsl.nn.selective_scan import StepSizes

Recipe = Callable[[nn.Module, Role], None]
"""Writes the initial values of the parameters that a module holds itself."""

_TABLES = frozenset({"position", "registers", "class_token"})


def normal_linears(std: float) -> Recipe:
    """Linears and tables of tokens and positions normal, cut at -2 and 2 (absolute), biases 0."""

    def write(module: nn.Module, role: Role) -> None:
        if free_linear(module, role):
            init.trunc_normal_(module.weight, std=std)
            zero_bias(module)
        write_tables(module, role, std)

    return write


def free_linear(module: nn.Module, role: Role) -> TypeGuard[nn.Linear]:
    """Whether it is a linear whose start recipes decide: none of a scan, no gate's step sizes."""
    return isinstance(module, nn.Linear) and not isinstance(module, StepSizes) and role.op != "selective_scan"


def zero_bias(module: nn.Linear | nn.Conv2d) -> None:
    """Where it has one."""
    if module.bias is not None:
        init.zeros_(module.bias)


def write_tables(module: nn.Module, role: Role, std: float) -> None:
    """Tables of tokens and positions normal, cut at -2 and 2 (absolute)."""
    if role.op in _TABLES:
        for table in module.parameters(recurse=False):
            init.trunc_normal_(table, std=std)
