"""Initial weights of Vim and Mamba-R."""

from __future__ import annotations

from math import sqrt

from torch import nn
from torch.nn import init

from archdsl.compiler.init.recipes._base import Recipe, free_linear, write_tables, zero_bias
from archdsl.compiler.init.roles import Role
from archdsl.nn.selective_scan import StepSizes

LECUN_TRUNCATION = 0.87962566103423978
"""Standard deviation of a normal distribution of variance 1 that is cut at -2 and 2."""


def vim() -> Recipe:
    """Vim (arXiv 2401.09417) and Mamba-R (arXiv 2405.14858), as their code has it.

    - Linears keep PyTorch's weights, their biases are 0; the last linear of each residual branch is divided
      by the root of the number of residual branches.
    - The first route of a scan starts as in Mamba; the bias of dt of every other route is 0.
    - Convolutions of the stem: LeCun normal, cut at -2 and 2 absolute, biases 0. Linears of the head and
      tables of tokens and positions: normal with standard deviation 0.02.
    """

    def write(module: nn.Module, role: Role) -> None:
        if isinstance(module, StepSizes):
            if role.route > 0:
                init.zeros_(module.bias)
        elif free_linear(module, role):
            if role.where == "head":
                init.trunc_normal_(module.weight, std=0.02)
            elif role.ends_branch:
                init.kaiming_uniform_(module.weight, a=sqrt(5))
                module.weight /= sqrt(role.branches)
            zero_bias(module)
        elif isinstance(module, nn.Conv2d) and role.where == "stem":
            fan_in = module.weight[0].numel()
            init.trunc_normal_(module.weight, std=sqrt(1 / fan_in) / LECUN_TRUNCATION)
            zero_bias(module)
        write_tables(module, role, 0.02)

    return write
