"""The Triton kernels on a CUDA device, called directly, against float64: `pytest -m gpu`."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from archdsl.kernels import conv1d, selective_scan
from archdsl.kernels.proof import TOLERANCE, difference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

DEVICE = "cuda"
LENGTHS = (1, 197, 1024, 4096)
WORDS = {"forward": (False,), "backward": (True,), "both": (False, True)}
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
every_length = pytest.mark.parametrize("length", LENGTHS)
every_direction = pytest.mark.parametrize("direction", WORDS)


class Drawn(NamedTuple):
    """The tensors of a scan; B and C are slices of one projection."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    z: Tensor
    delta_bias: Tensor

    def exact(self) -> Drawn:
        """The same numbers in float64."""
        return Drawn(*(v.double() for v in self))


def drawn(dtype: torch.dtype, length: int, *, routes: int, images: int = 2, state: int = 16) -> Drawn:
    """Routes of 48 channels, a gate for the merge of them."""
    draw = torch.Generator().manual_seed(length)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw)

    sequence = (routes, images, length, 48)
    projected = normal(*sequence[:3], 12 + 2 * state).to(DEVICE, dtype)
    return Drawn(
        normal(*sequence).to(DEVICE, dtype),
        (normal(*sequence) - 2).to(DEVICE, dtype),
        -normal(routes, 48, state).exp().to(DEVICE),
        projected[..., 12 : 12 + state],
        projected[..., 12 + state :],
        normal(routes, 48).to(DEVICE),
        normal(*sequence[1:]).to(DEVICE, dtype),
        normal(routes, 48).to(DEVICE),
    )


def scanned(
    x: Drawn,
    direction: str,
    *,
    segment: int | None = None,
    layout: str = "bld",
    paths: Tensor | None = None,
    merge: str = "mean",
    saves: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """The outputs of Triton's forward, in segments of the length given."""
    from archdsl.kernels.selective_scan.arguments import normalised
    from archdsl.kernels.selective_scan.inputs import Inputs
    from archdsl.kernels.selective_scan.triton.forward import plan

    z = x.z if merge != "none" else x.z.expand(x.u.shape)
    given = Inputs(*x._replace(z=z), paths, True, WORDS[direction], merge, layout)
    outputs, launches = plan(normalised(given), saves, segment)
    for launch in launches:
        launch.run()
    return outputs


def wanted(
    x: Drawn, direction: str, *, paths: Tensor | None = None, merge: str = "mean"
) -> tuple[Tensor, ...]:
    """The outputs of the reference in float64."""
    from archdsl.kernels.selective_scan import Inputs, reference

    exact = x.exact()
    z = exact.z if merge != "none" else exact.z.expand(exact.u.shape)
    return reference.forward(Inputs(*exact._replace(z=z), paths, True, WORDS[direction], merge, "bld"), True)


def assert_near(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], dtype: torch.dtype) -> None:
    """y, states (float32 in all types) and what came before the gate."""
    allowed = (TOLERANCE[dtype], TOLERANCE[torch.float32], TOLERANCE[dtype])
    errors = [difference(a, b) for a, b in zip(found, expected, strict=True)]
    assert [e for e, most in zip(errors, allowed, strict=True) if not e <= most] == [], errors


@every_dtype
@every_length
@every_direction
@pytest.mark.parametrize("split", [False, True])
def test_forward_is_that_in_float64(dtype: torch.dtype, length: int, direction: str, split: bool) -> None:
    x = drawn(dtype, length, routes=len(WORDS[direction]))
    segment = 64 if split else length
    assert_near(scanned(x, direction, segment=segment), wanted(x, direction), dtype)


@every_dtype
@pytest.mark.parametrize("length", [197, 1024])
@pytest.mark.parametrize("merge", ["none", "add"])
def test_forward_with_steps_last(dtype: torch.dtype, length: int, merge: str) -> None:
    x = drawn(dtype, length, routes=2)
    found = scanned(x, "both", layout="bdl", merge=merge)
    assert found[0].stride(-2) == 1
    assert_near(found, wanted(x, "both", merge=merge), dtype)


@every_dtype
@pytest.mark.parametrize("segment", [196, 64])
def test_forward_along_paths(dtype: torch.dtype, segment: int) -> None:
    x = drawn(dtype, 196, routes=2)
    rows = torch.arange(196, device=DEVICE).view(14, 14)
    paths = torch.stack([rows.flatten(), rows.t().flatten()])
    assert_near(scanned(x, "both", segment=segment, paths=paths), wanted(x, "both", paths=paths), dtype)


@every_dtype
@pytest.mark.parametrize("state", [1, 3, 8, 32, 64, 256])
def test_forward_with_any_number_of_states(dtype: torch.dtype, state: int) -> None:
    x = drawn(dtype, 70, routes=2, state=state)
    assert_near(scanned(x, "both"), wanted(x, "both"), dtype)


@pytest.mark.parametrize("segment", [64, 1024])
@pytest.mark.parametrize("merge", ["none", "mean"])
def test_forward_is_the_same_every_time(segment: int, merge: str) -> None:
    x = drawn(torch.bfloat16, 1024, routes=2, images=16)
    first = scanned(x, "both", segment=segment, merge=merge)
    alone = scanned(x, "both", segment=segment, merge=merge, saves=False)
    assert torch.equal(alone[0], first[0])
    for _ in range(5):
        again = scanned(x, "both", segment=segment, merge=merge)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))


def test_polynomials_are_exponentials(monkeypatch: pytest.MonkeyPatch) -> None:
    from archdsl.kernels.selective_scan.triton import forward

    monkeypatch.setattr(forward, "POLYNOMIAL", 2)
    x = drawn(torch.float32, 197, routes=2)
    assert_near(scanned(x, "both"), wanted(x, "both"), torch.float32)


def test_more_than_two_thousand_million_numbers() -> None:
    """Places beyond 31 bits: the last image of many against the same alone."""
    if torch.cuda.mem_get_info()[0] < 40 * 2**30:
        pytest.skip("needs 40 GiB of free memory")
    images, length, channels = 257, 8192, 1024
    draw = torch.Generator(DEVICE).manual_seed(0)
    u = torch.randn(images, length, channels, dtype=torch.bfloat16, device=DEVICE, generator=draw)
    delta = torch.full((1, 1, 1), -2.0, dtype=torch.bfloat16, device=DEVICE).expand(1, length, channels)
    b = torch.randn(images, length, 1, dtype=torch.bfloat16, device=DEVICE, generator=draw)
    parameters = torch.full((channels, 1), -1.0, device=DEVICE)

    def scan(some: slice) -> Tensor:
        steps = delta.contiguous().expand(u[some].shape)
        with torch.no_grad():
            return selective_scan(
                u[some], steps, parameters, b[some], b[some], delta_softplus=True, backend="triton"
            )

    assert torch.equal(scan(slice(None))[-1:], scan(slice(images - 1, images)))


@every_dtype
@every_length
@every_direction
def test_convolution_and_its_gradients_are_those_in_float64(
    dtype: torch.dtype, length: int, direction: str
) -> None:
    draw = torch.Generator().manual_seed(length)
    routes = len(WORDS[direction])
    words = ("forward", "backward") if direction == "both" else direction
    sizes = ((2, length, 200), (routes, 200, 4), (routes, 200))
    given = [torch.randn(size, generator=draw).to(DEVICE, dtype).requires_grad_() for size in sizes]
    exact = [v.detach().double().requires_grad_() for v in given]
    options = {"activation": "silu", "direction": words}
    y = conv1d(*given, backend="triton", **options)
    y64 = conv1d(*exact, backend="reference", **options)
    dout = torch.randn(y.shape, generator=draw).to(DEVICE, dtype)
    found = (y, *torch.autograd.grad(y, given, dout, retain_graph=True))
    expected = (y64, *torch.autograd.grad(y64, exact, dout.double()))
    errors = [difference(a.detach(), b.detach()) for a, b in zip(found, expected, strict=True)]
    assert max(errors) <= TOLERANCE[dtype]
    again = torch.autograd.grad(y, given, dout)
    assert all(torch.equal(a, b) for a, b in zip(again, found[1:], strict=True))
