"""What our scans are compared with on a CUDA device: mamba-ssm's functions as they are installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from torch import Tensor

from archdsl.cli.bench.peers.peer import Ready, steps_last, through_autograd, transposed
from archdsl.cli.bench.problems import Problem

INTERFACE = "mamba_ssm.ops.selective_scan_interface"
INSTALL = "pip install 'archdsl[mamba-ssm]'"
FN = "mamba-ssm selective_scan_fn"
INNER = "mamba-ssm mamba_inner_fn"
FLIPS = "mamba-ssm, flips"


@cache
def missing() -> str:
    """Why mamba-ssm is not here, empty where it is."""
    try:
        import_module(INTERFACE)
    except Exception as error:  # its extension fails in many ways
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}; {INSTALL}"
    return ""


def scan(problem: Problem) -> Ready:
    """`selective_scan_fn` in its own order of memory."""
    given, dout = steps_last(problem)
    return through_autograd(_fn, given, dout, transposed)


def flipped(*v: Tensor) -> Tensor:
    """The sum of a scan and of one that is read from its end."""
    there, back = ([x[k] for x in v[:6]] for k in (0, 1))
    turned = [x.flip(-1) if x.ndim == 3 else x for x in back]
    return _fn(*there, v[6], v[7][0]) + _fn(*turned, v[6].flip(-1), v[7][1]).flip(-1)


def inner(*v: Any) -> Tensor:
    """`mamba_inner_fn` of xz (b, 2 e, l) and its weights, see `archdsl.cli.bench.cuda.mixers`."""
    xz, conv, conv_bias, x_proj, dt_proj, out, A, D, bias = v
    function: Callable[..., Tensor] = import_module(INTERFACE).mamba_inner_fn
    return function(
        xz, conv, conv_bias, x_proj, dt_proj, out, None, A, None, None, D, bias, delta_softplus=True
    )


def _fn(*v: Tensor) -> Tensor:
    function: Callable[..., Tensor] = import_module(INTERFACE).selective_scan_fn
    return function(*v, delta_softplus=True)
