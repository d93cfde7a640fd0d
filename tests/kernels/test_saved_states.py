"""One kernel's forward and another's backward, where the first saves no states."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from planted import planted
from torch import Tensor

from archdsl.kernels import selective_scan
from archdsl.kernels.ladder import VARIABLE
from archdsl.kernels.mamba_inner import Inputs as Mixer
from archdsl.kernels.mamba_inner import mamba_inner
from archdsl.kernels.selective_scan import LADDER, Gradients, Inputs, Kernel, Outputs, reference
from archdsl.kernels.selective_scan.saved import no_states

NAME = "stateless"
OTHER = LADDER.choose(LADDER.typical("cpu", torch.float32, "bld")).name
"""The fastest here; the backward of the reference goes without states."""
forwards: list[bool] = []
"""The calls of the forward below: whether each was to save."""


def forward(x: Inputs, saves: bool) -> Outputs:
    forwards.append(saves)
    found = reference.forward(x, saves)
    return found._replace(states=no_states(x)) if saves else found


def backward(dout: Tensor, x: Inputs, states: Tensor, ungated: Tensor) -> Gradients:
    return reference.backward(dout, x, *reference.forward(x, True)[1:])


@pytest.fixture(autouse=True)
def put() -> Iterator[None]:
    with LADDER.with_candidates(planted(Kernel(forward, backward, saves=False), name=NAME)):
        yield


def numbers(*sizes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [(0.5 * torch.randn(size, generator=generator)).requires_grad_() for size in sizes]


def scan() -> tuple[Callable[..., Tensor], list[Tensor]]:
    given = numbers((2, 40, 4), (2, 40, 4), (4, 3), (2, 40, 3), (2, 40, 3), (4,), (2, 40, 4), (4,))
    return lambda *tensors: selective_scan(*tensors, delta_softplus=True), given


def mixer() -> tuple[Callable[..., Tensor], list[Tensor]]:
    given = numbers((2, 40, 8), (1, 4, 1, 3), (1, 4), (1, 8, 4), (1, 4, 2), (1, 4), (1, 4, 3), (1, 4))
    more = (None, True, 0, 1, (False,), False)
    return lambda *tensors: mamba_inner(Mixer(*tensors, *more)), given


@pytest.mark.parametrize("what", [scan, mixer])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    "order",
    [(NAME, OTHER), (OTHER, NAME), (NAME, NAME)],
    ids=["then another", "after another", "both"],
)
def test_the_variable_may_change_before_the_backward(
    what: Callable[[], tuple[Callable[..., Tensor], list[Tensor]]],
    compiled: bool,
    order: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function, given = what()
    monkeypatch.setenv(VARIABLE, OTHER)
    wanted = torch.autograd.grad(function(*given).square().sum(), given)
    if compiled:
        torch.compiler.reset()
        function = torch.compile(function, backend="aot_eager", fullgraph=True)
    found: list[tuple[Tensor, ...]] = []
    for _ in range(2):  # the first call proves the kernel
        forwards.clear()
        monkeypatch.setenv(VARIABLE, order[0])
        y = function(*given).square().sum()
        monkeypatch.setenv(VARIABLE, order[1])
        found.append(torch.autograd.grad(y, given))
    for grad, right in zip(found[-1], wanted, strict=True):
        torch.testing.assert_close(grad, right, rtol=1e-4, atol=1e-5)
    assert len(forwards) == (order[0] == NAME), "its own backward asks for no states"
