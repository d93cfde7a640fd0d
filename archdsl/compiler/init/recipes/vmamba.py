"""Initial weights of VMamba and of its ablation."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import init

from archdsl.compiler.init.recipes._base import Recipe, normal_linears
from archdsl.compiler.init.roles import Role
from archdsl.nn.selective_scan import SelectiveScan


def vmamba() -> Recipe:
    """VMamba (arXiv 2401.10166): linears trunc_normal(0.02), biases 0; scans start as in Mamba."""
    return normal_linears(0.02)


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
