"""Weights from one cut normal distribution."""

from __future__ import annotations

from torch import nn
from torch.nn import init

from archdsl.compiler.init.recipes._base import Recipe, normal_linears, zero_bias
from archdsl.compiler.init.roles import Role


def trunc_normal(std: float = 0.02) -> Recipe:
    """Weights of linears and 2-D convolutions normal, cut at -2 and 2 (absolute), biases 0.

    So do all tables of tokens and positions. Selective scans and the short convolutions in front of them
    start as in Mamba.
    """

    others = normal_linears(std)

    def write(module: nn.Module, role: Role) -> None:
        others(module, role)
        if isinstance(module, nn.Conv2d):
            init.trunc_normal_(module.weight, std=std)
            zero_bias(module)

    return write
