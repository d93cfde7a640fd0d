"""One forward pass, watched: how long every stage takes and which kernels serve it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archdsl.kernels.ladder import Choice, KernelWarning, Refusal
from archdsl.kernels.linear import LADDER
from archdsl.nn.fused import fused_choice, fused_scans
from archdsl.nn.linear import Linear
from archdsl.nn.selective_scan import RunsScans, SelectiveScan
from archdsl.nn.stream import Stream

if TYPE_CHECKING:
    from archdsl.compiler import Model


@dataclass(slots=True)
class Watched:
    """What a pass showed.

    Args:
        output: of the model.
        seconds: of the whole pass.
        stages: seconds of `stem` and every stage; the head takes what is left.
        kernels: names of the kernels that served a part, in the order in which they came first.
        passed_over: faster kernels that did not serve, each with the parts that it would have served.
    """

    output: Tensor
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    kernels: dict[str, list[str]] = field(default_factory=dict)
    passed_over: dict[Refusal, list[str]] = field(default_factory=dict)

    @property
    def head(self) -> float:
        """Seconds behind the last stage."""
        return max(0.0, self.seconds - sum(self.stages.values()))


@torch.inference_mode()
def watch(model: Model, images: Tensor) -> Watched:
    """Runs the model on images (B, channels, H, W)."""
    seen = Watched(images)
    began: dict[str, float] = {}
    clock = _clock(images.device)
    hooks = []
    names = [name for name, module in model.named_children() if name != "stages"]
    parts: dict[str, nn.Module] = {name: getattr(model, name) for name in names}
    stages = {
        stage.name: module
        for stage, module in zip(model.architecture.stages, model.stages.values(), strict=True)
    }
    for name, module in {**parts, **stages}.items():
        if name != "head":
            hooks.append(module.register_forward_pre_hook(partial(_begin, name, began, clock)))
            hooks.append(module.register_forward_hook(partial(_end, name, began, clock, seen)))
        fused: set[int] = set()
        for inner in module.modules():
            if isinstance(inner, SelectiveScan):
                fused.add(id(inner.x_proj))
            if isinstance(inner, Linear) and id(inner) not in fused:
                hooks.append(inner.register_forward_pre_hook(partial(_linear_kernel, name, seen)))
            if isinstance(inner, RunsScans) and id(inner) not in fused:
                hooks.append(inner.register_forward_pre_hook(partial(_kernel, name, seen)))
            scans = {id(scan) for scan in fused_scans(inner)} - fused
            if scans:
                fused |= scans
                hooks.append(inner.register_forward_pre_hook(partial(_fused_kernel, name, seen)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KernelWarning)  # the same is told by `passed_over`
            start = clock()
            seen.output = model(images)
            seen.seconds = clock() - start
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _clock(device: torch.device) -> Callable[[], float]:
    """Seconds, once everything asked of the device is done."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def _begin(
    name: str, began: dict[str, float], clock: Callable[[], float], module: nn.Module, args: Any
) -> None:
    began[name] = clock()


def _end(
    name: str,
    began: dict[str, float],
    clock: Callable[[], float],
    seen: Watched,
    module: nn.Module,
    args: Any,
    out: Any,
) -> None:
    seen.stages[name] = clock() - began[name]


def _kernel(name: str, seen: Watched, module: Any, args: tuple[Any, ...]) -> None:
    _served(name, seen, module.choice(args[0].x if isinstance(args[0], Stream) else args[0]))


def _fused_kernel(name: str, seen: Watched, module: nn.Module, args: tuple[Any, ...]) -> None:
    choice = fused_choice(module, args[0])
    if choice is not None:
        _served(name, seen, choice)
        return
    for scan in fused_scans(module):
        _served(name, seen, scan.choice(args[0].x[..., : scan.D.shape[0]]))


def _linear_kernel(name: str, seen: Watched, module: Linear, args: tuple[Tensor, ...]) -> None:
    choice = module.choice(args[0])
    if choice is None:
        return
    if choice.candidate is not LADDER.candidates[-1]:
        _note(choice.name, seen.kernels.setdefault(name, []))
    _passed_over(name, seen, choice)


def _served(name: str, seen: Watched, choice: Choice[Any, Any] | None) -> None:
    if choice is None:
        return
    _note(choice.name, seen.kernels.setdefault(name, []))
    _passed_over(name, seen, choice)


def _passed_over(name: str, seen: Watched, choice: Choice[Any, Any]) -> None:
    for refusal in choice.passed_over:
        if not refusal.slower:
            _note(name, seen.passed_over.setdefault(refusal, []))


def _note(name: str, names: list[str]) -> None:
    if name not in names:
        names.append(name)
