"""Initial weights of MambaVision."""

from __future__ import annotations

from torch import nn
from torch.nn import init

from archdsl.compiler.init.recipes._base import Recipe, write_tables, zero_bias
from archdsl.compiler.init.roles import Role


def mambavision() -> Recipe:
    """MambaVision (arXiv 2407.08083), as its code has it: every linear trunc_normal(0.02) with bias 0.

    That of dt is no exception, so steps start near softplus(0). Convolutions keep PyTorch's initial values.
    """

    def write(module: nn.Module, role: Role) -> None:
        if isinstance(module, nn.Linear):
            init.trunc_normal_(module.weight, std=0.02)
            zero_bias(module)
        write_tables(module, role, 0.02)

    return write
