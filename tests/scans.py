"""Selective scans as tests draw them, and what every kernel has to make of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from archdsl.kernels import selective_scan
from archdsl.kernels.selective_scan import LADDER

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
SEQUENCES = ("u", "delta", "z", "B", "C")
OPTIONAL = ("D", "z", "delta_bias")
MEMORY = ("plain", "slice", "offset", "transposed", "expanded")

TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 5e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
"""Largest difference from the reference in float64, for the largest number of the tensor.

The reference gets the same, already rounded numbers. float64: roundings of sums in another order. float32:
the state is rounded at every step and exp is a polynomial, 1e-7 for each, and gradients sum hundreds of them.
float16 (11 bits), bfloat16 (8 bits): what is stored in the type is rounded: y, the y before the gate that dz
is made of, the gradients of each route before those of a shared tensor are added: some half units."""


@dataclass(frozen=True)
class Case:
    """One scan: sizes, options, and how its tensors lie in memory; `single` has no dimension of routes."""

    batch: int = 2
    length: int = 37
    channels: int = 19
    state: int = 5
    direction: tuple[str, ...] = ("forward",)
    single: bool = True
    layout: str = "bld"
    merge: str = "none"
    paths: bool = False
    given: tuple[str, ...] = OPTIONAL
    softplus: bool = True
    dtype: torch.dtype = torch.float32
    low_parameters: bool = False
    memory: str = "plain"
    device: str = "cpu"
    seed: int = 0
    options: dict[str, Any] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        paths = None
        if self.paths:
            draw = torch.Generator().manual_seed(self.seed)
            paths = torch.stack([torch.randperm(self.length, generator=draw) for _ in self.direction])
            paths = paths.to(self.device)
        words = self.direction[0] if self.single else self.direction
        options = {"direction": words, "merge": self.merge, "layout": self.layout, "paths": paths}
        object.__setattr__(self, "options", options | {"delta_softplus": self.softplus})

    def numbers(self) -> dict[str, Tensor]:
        """The tensors in float64, channels last, of numbers that the case's type can hold."""
        draw = torch.Generator().manual_seed(self.seed)
        routes = () if self.single else (len(self.direction),)
        sequence = (self.batch, self.length, self.channels)
        shapes = {
            "u": (*routes, *sequence),
            "delta": (*routes, *sequence),
            "A": (*routes, self.channels, self.state),
            "B": (*routes, *sequence[:2], self.state),
            "C": (*routes, *sequence[:2], self.state),
            "D": (*routes, self.channels),
            "z": sequence if self.merge != "none" else (*routes, *sequence),
            "delta_bias": (*routes, self.channels),
        }
        drawn = {k: torch.randn(s, generator=draw, dtype=torch.float64) for k, s in shapes.items()}
        drawn["A"] = -drawn["A"].exp()
        if not self.softplus:
            drawn["delta"] = drawn["delta"].abs() / 4
            drawn["delta_bias"] = drawn["delta_bias"].abs() / 4
        kept = {k: v for k, v in drawn.items() if k not in OPTIONAL or k in self.given}
        return {k: v.to(self.type_of(k)).double() for k, v in kept.items()}

    def type_of(self, name: str) -> torch.dtype:
        """The type of an argument."""
        if name in SEQUENCES or self.low_parameters or self.dtype == torch.float64:
            return self.dtype
        return torch.float32

    def arguments(self, numbers: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The tensors as the case has them, in its type, order and place, each needing its gradient."""
        found = {}
        for name, number in (numbers or self.numbers()).items():
            turned = number.transpose(-1, -2) if self.layout == "bdl" and name in SEQUENCES else number
            value = turned.to(self.device, self.type_of(name)).contiguous()
            found[name] = self._placed(value).requires_grad_()
        return found

    def _placed(self, value: Tensor) -> Tensor:
        match self.memory:
            case "slice":
                wide = value.new_full((*value.shape[:-1], 2 * value.shape[-1] + 1), torch.nan)
                return wide[..., 1::2].copy_(value)
            case "offset":
                room = value.new_full((value.numel() + 3,), torch.nan)
                return room[3:].view(value.shape).copy_(value)
            case "transposed":
                return value.transpose(0, -1).contiguous().transpose(0, -1)
            case "expanded" if value.ndim > 2 and value.shape[0]:
                return value[:1].clone().expand(value.shape)
        return value.contiguous()

    def exact(self, arguments: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same numbers in float64 on the CPU, in the order of the arguments."""
        return {k: v.detach().to("cpu", torch.float64).requires_grad_() for k, v in arguments.items()}

    def scan(self, arguments: dict[str, Tensor], backend: str = "auto") -> Tensor:
        """The scan of arguments of the case."""
        options = self.options | {"backend": backend}
        if options["paths"] is not None:
            options["paths"] = options["paths"].to(arguments["u"].device)
        return selective_scan(**arguments, **options)


def backends(device: str = "cpu") -> list[str]:
    """The kernels that this machine has for a device."""
    return [
        c.name
        for c in LADDER.candidates
        if LADDER.missing(c) is None and (not c.devices or device in c.devices)
    ]


def need(case: Case, backend: str) -> None:
    """Skips the test where the kernel says that it doesn't serve the case."""
    reason = refusal(case, backend)
    if reason is not None:
        pytest.skip(f"{backend}: {reason}")


def refusal(case: Case, backend: str) -> str | None:
    """Why a kernel doesn't serve the case."""
    [candidate] = [c for c in LADDER.candidates if c.name == backend]
    typical = LADDER.typical(case.device, case.dtype, case.layout)
    call = typical._replace(
        batch=case.batch,
        length=case.length,
        channels=case.channels,
        state=case.state,
        routes=len(case.direction),
        gated="z" in case.given,
        paths=case.paths,
        merge=case.merge,
    )
    return candidate.supports(call)


def gradients(y: Tensor, arguments: dict[str, Tensor], seed: int = 1) -> dict[str, Tensor]:
    """Of a sum of the output with drawn weights, with regard to the arguments that need one."""
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    wanted = {k: v for k, v in arguments.items() if v.requires_grad}
    # Rounded as the output's type would, so that every type has the same weights.
    rounded = weights.bfloat16().to(y.device, y.dtype)
    return dict(zip(wanted, torch.autograd.grad(y, list(wanted.values()), rounded), strict=True))


def assert_near(found: Tensor, wanted: Tensor, tolerance: float, what: str = "y") -> None:
    """Within the tolerance of the largest number wanted, at least 1e-3; not-a-number in the same places."""
    assert found.shape == wanted.shape, what
    found = found.detach().to("cpu", torch.float64)
    wanted = wanted.detach()
    assert torch.equal(found.isnan(), wanted.isnan()), what
    if found.numel():
        allowed = tolerance * max(float(wanted.nan_to_num(0).abs().max()), 1e-3)
        error = float((found - wanted).nan_to_num(0).abs().max())
        assert error <= allowed, f"{what}: off by {error:.3g}, allowed {allowed:.3g}"


def cases(dtype: torch.dtype, **fixed: Any) -> st.SearchStrategy[Case]:
    """Cases of a type, small and awkward."""
    words = st.sampled_from(["forward", "backward"])
    directions = st.one_of(words.map(lambda w: (w,)), st.lists(words, min_size=1, max_size=3).map(tuple))

    @st.composite
    def draw(draw: Any) -> Case:
        direction = draw(directions)
        merge = draw(st.sampled_from(["none", "none", "add", "mean"]))
        length = draw(st.one_of(st.integers(0, 5), st.sampled_from([1, 31, 32, 33, 64, 65, 70])))
        drawn: dict[str, Any] = {
            "batch": draw(st.sampled_from([1, 1, 2, 3, 0])),
            "length": length,
            "channels": draw(st.one_of(st.integers(1, 40), st.sampled_from([1, 15, 16, 17, 32, 48]))),
            "state": draw(st.one_of(st.integers(1, 9), st.sampled_from([1, 2, 4, 8, 16, 17, 33, 64]))),
            "direction": direction,
            "single": len(direction) == 1 and draw(st.booleans()),
            "merge": merge,
            "paths": draw(st.booleans()),
            "layout": draw(st.sampled_from(["bld", "bdl"])),
            "given": tuple(n for n in OPTIONAL if draw(st.booleans())),
            "softplus": draw(st.booleans()),
            "dtype": dtype,
            "low_parameters": draw(st.booleans()),
            "memory": draw(st.sampled_from(MEMORY)),
            "seed": draw(st.integers(0, 1000)),
        }
        return Case(**drawn | fixed)

    return draw()
