"""The recipes: what each writes into a module of a given role.

A recipe leaves alone what it does not name: there PyTorch's initial values stand, or the operator's own
(the selective scan starts as in Mamba: dt from 0.001 to 0.1, A = -1 ... -S, D = 1; layer scale at its
`init`; norms at 1 and 0).
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TypeGuard

from torch import Tensor, nn
from torch.nn import init

from archdsl.compiler.init.roles import Role
from archdsl.nn.selective_scan import SelectiveScan, StepSizes

Recipe = Callable[[nn.Module, Role], None]
"""Writes the initial values of the parameters that a module holds itself."""

_TABLES = frozenset({"position", "registers", "class_token"})
LECUN_TRUNCATION = 0.87962566103423978
"""Standard deviation of a normal distribution of variance 1 that is cut at -2 and 2."""


def trunc_normal(std: float = 0.02) -> Recipe:
    """Weights of linears and 2-D convolutions normal, cut at -2 and 2 (absolute), biases 0.

    So do all tables of tokens and positions. Selective scans and the short convolutions in front of them
    start as in Mamba.
    """

    def write(module: nn.Module, role: Role) -> None:
        if isinstance(module, nn.Conv2d) or _free_linear(module, role):
            init.trunc_normal_(module.weight, std=std)
            _zero_bias(module)
        _write_tables(module, role, std)

    return write


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
        elif _free_linear(module, role):
            if role.where == "head":
                init.trunc_normal_(module.weight, std=0.02)
            elif role.ends_branch:
                init.kaiming_uniform_(module.weight, a=sqrt(5))
                module.weight /= sqrt(role.branches)
            _zero_bias(module)
        elif isinstance(module, nn.Conv2d) and role.where == "stem":
            fan_in = module.weight[0].numel()
            init.trunc_normal_(module.weight, std=sqrt(1 / fan_in) / LECUN_TRUNCATION)
            _zero_bias(module)
        _write_tables(module, role, 0.02)

    return write


def mambavision() -> Recipe:
    """MambaVision (arXiv 2407.08083), as its code has it: every linear trunc_normal(0.02) with bias 0.

    That of dt is no exception, so steps start near softplus(0). Convolutions keep PyTorch's initial values.
    """

    def write(module: nn.Module, role: Role) -> None:
        if isinstance(module, nn.Linear):
            init.trunc_normal_(module.weight, std=0.02)
            _zero_bias(module)
        _write_tables(module, role, 0.02)

    return write


def vmamba() -> Recipe:
    """VMamba (arXiv 2401.10166): linears trunc_normal(0.02), biases 0; scans start as in Mamba."""

    def write(module: nn.Module, role: Role) -> None:
        if _free_linear(module, role):
            init.trunc_normal_(module.weight, std=0.02)
            _zero_bias(module)
        _write_tables(module, role, 0.02)

    return write


def mila() -> Recipe:
    """MILA (arXiv 2405.16605): linears trunc_normal(0.02), biases 0; convolutions as PyTorch has them."""
    return vmamba()


def vmamba_rand() -> Recipe:
    """VMamba's ablation "rand": log(-A) normal, weights and biases of dt normal with deviation 0.1."""
    return _with_scans(lambda scan: init.normal_(scan.A_log), lambda dt: init.normal_(dt, std=0.1))


def vmamba_zero() -> Recipe:
    """VMamba's ablation "zero": log(-A) 0, weights and biases of dt uniform from 0 to 0.1."""
    return _with_scans(lambda scan: init.zeros_(scan.A_log), lambda dt: init.uniform_(dt, 0, 0.1))


def _with_scans(write_a: Callable[[SelectiveScan], object], write_dt: Callable[[Tensor], object]) -> Recipe:
    """As `vmamba`, but for A and dt of the scans."""
    others = vmamba()

    def write(module: nn.Module, role: Role) -> None:
        others(module, role)
        if isinstance(module, SelectiveScan):
            write_a(module)
            write_dt(module.dt_proj.weight)
            write_dt(module.dt_proj.bias)

    return write


RECIPES: dict[str, Callable[..., Recipe]] = {
    "trunc_normal": trunc_normal,
    "vim": vim,
    "mambavision": mambavision,
    "vmamba": vmamba,
    "vmamba_rand": vmamba_rand,
    "vmamba_zero": vmamba_zero,
    "mila": mila,
}
"""By the names of `archdsl.graph.recipes.INIT_RECIPES`."""


def _free_linear(module: nn.Module, role: Role) -> TypeGuard[nn.Linear]:
    """Whether it is a linear whose start recipes decide: none of a scan, no gate's step sizes."""
    return isinstance(module, nn.Linear) and not isinstance(module, StepSizes) and role.op != "selective_scan"


def _zero_bias(module: nn.Linear | nn.Conv2d) -> None:
    if module.bias is not None:
        init.zeros_(module.bias)


def _write_tables(module: nn.Module, role: Role, std: float) -> None:
    if role.op in _TABLES:
        for table in module.parameters(recurse=False):
            init.trunc_normal_(table, std=std)
