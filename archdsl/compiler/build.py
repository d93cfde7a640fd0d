"""From a checked architecture to a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from archdsl.compiler.init import initialise
from archdsl.compiler.model import Model
from archdsl.compiler.passes import PASSES, Pass
from archdsl.graph.architecture import Architecture
from archdsl.kernels.ladder import check_backend
from archdsl.kernels.selective_scan import LADDER


def compile_model(
    architecture: Architecture,
    *,
    backend: str = "auto",
    device: torch.device | str | None = None,
    passes: tuple[Pass, ...] = PASSES,
    quick: bool = True,
) -> Model:
    """The model of an architecture, with initial weights.

    Args:
        architecture: checked.
        backend: the kernel of scans, `auto` for the fastest that serves, or the one that the environment
            variable ARCHDSL_BACKEND names.
        device: where its weights lie, torch's default device for None; on `meta` nothing is allocated or
            drawn.
        passes: what happens to the architecture before modules are built.
        quick: whether linear maps are computed by `archdsl.kernels.linear`, or by PyTorch alone.

    Raises:
        ValueError: for a backend that is no kernel of scans, an ARCHDSL_BACKEND that is none of any operator,
            and a device that is none.
    """
    check_backend(backend, LADDER.names)
    where = _device(device)
    with torch.device(where), _NoWrites() if where.type == "meta" else nullcontext():
        model = Model(architecture, backend=backend, passes=passes, quick=quick)
    if where.type != "meta":
        initialise(model.placed, architecture.init)
    return model


def _device(device: torch.device | str | None) -> torch.device:
    try:
        return torch.get_default_device() if device is None else torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"there is no device {device!r}: one of cpu, cuda, cuda:1, mps, meta or another of torch's"
        ) from error


class _NoWrites(TorchFunctionMode):
    """Leaves out writes into tensors without storage, which take torch seconds to prepare."""

    _names = ("uniform_", "normal_", "fill_", "zero_", "copy_", "erfinv_", "mul_", "add_", "clamp_")
    functions = frozenset(getattr(Tensor, name) for name in _names)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The tensor written to as it is, or what torch does."""
        if func in self.functions and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))
