"""The compiled forward of the selective scan against the reference in float64: outputs and what is saved."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from archdsl.kernels.selective_scan import reference
from archdsl.kernels.selective_scan.inputs import Inputs, empty
from archdsl.kernels.selective_scan.numba import forward as numba_forward

TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}
SHAPES = [(2, 70, 24, 5), (1, 32, 16, 4), (1, 33, 7, 17), (2, 1, 33, 1), (1, 97, 144, 16)]
ROUTES = [((False,), "none"), ((True, False), "none"), ((False, True, True), "mean"), ((True, False), "add")]


class Numbers:
    """Random inputs; sequences are slices of larger ones, in the layout's memory order."""

    def __init__(self, dtype: torch.dtype, layout: str) -> None:
        self.dtype, self.layout = dtype, layout
        self.generator = torch.Generator().manual_seed(0)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def sequence(self, *shape: int, scale: float = 1.0) -> Tensor:
        *outer, length, channels = shape
        room = empty((*outer, length + 3, channels + 5), self.dtype, self.layout, torch.empty(0))
        room.fill_(torch.nan)
        part = room[..., 2 : 2 + length, 3 : 3 + channels]
        return part.copy_(self.normal(*shape) * scale)

    def inputs(
        self,
        shape: tuple[int, int, int, int],
        reverse: tuple[bool, ...] = (False,),
        merge: str = "none",
        full: bool = True,
        paths: bool = False,
        shared: bool = False,
    ) -> Inputs:
        images, length, channels, states = shape
        routes = len(reverse)
        u = self.sequence(1 if shared else routes, images, length, channels).expand(routes, -1, -1, -1)
        order = [torch.randperm(length, generator=self.generator) for _ in reverse]
        outer = (routes, images) if merge == "none" else (images,)
        vectors = self.normal(routes, images, length, 2 * states + 1).to(self.dtype)
        delta = self.sequence(routes, images, length, channels, scale=0.5)
        return Inputs(
            u,
            delta if full else delta.abs_(),
            -torch.rand(routes, channels, states, generator=self.generator) * 8,
            vectors[..., :states],
            vectors[..., states : 2 * states],
            self.normal(routes, channels) if full else None,
            self.sequence(*outer, length, channels) if full else None,
            self.normal(routes, channels) * 0.2 - 2 if full else None,
            torch.stack(order) if paths else None,
            full,
            reverse,
            merge,
            self.layout,
        )


def exact(x: Inputs) -> Inputs:
    return Inputs(*(v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in x))  # type: ignore[arg-type]


def difference(found: Tensor, expected: Tensor) -> float:
    if not expected.numel():
        return 0.0
    size = expected.square().mean().sqrt()
    return float(((found.double() - expected).abs() / (expected.abs() + size)).max())


def check(x: Inputs) -> None:
    found, expected = numba_forward.forward(x, True), reference.forward(exact(x), True)
    for name in found._fields:
        a, b = getattr(found, name), getattr(expected, name)
        assert a.shape == b.shape, name
        assert a.dtype == (torch.float32 if name == "states" else x.u.dtype), name
        tolerance = TOLERANCE[torch.float32 if name == "states" else x.u.dtype]
        assert difference(a, b) < tolerance, name
    assert found.y.stride()[-1 if x.layout == "bld" else -2] == 1 or found.y.shape[-1] == 1
    alone = numba_forward.forward(x, False)
    assert torch.equal(alone.y, found.y)
    assert alone.states.shape == alone.ungated.shape == (0,)


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("layout", ["bld", "bdl"])
def test_any_scan(dtype: torch.dtype, layout: str) -> None:
    for shape, (reverse, merge) in product(SHAPES, ROUTES):
        check(Numbers(dtype, layout).inputs(shape, reverse, merge))


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("layout", ["bld", "bdl"])
def test_paths_and_shared_sequences(dtype: torch.dtype, layout: str) -> None:
    for shape, (reverse, merge) in product(SHAPES[:4], ROUTES):
        check(Numbers(dtype, layout).inputs(shape, reverse, merge, paths=True, shared=True))


def test_nothing_but_the_recurrence() -> None:
    for shape in SHAPES:
        check(Numbers(torch.float32, "bld").inputs(shape, full=False))


def test_large_and_growing_steps() -> None:
    """Powers of 2 that need care: those that vanish, and those of positive A."""
    x = Numbers(torch.float32, "bld").inputs((1, 40, 20, 9))
    x.delta[:, :, 5:10] += 60
    check(x)
    x.A[:, :, 3] = 0
    x.A[:, ::3] *= -0.02
    check(x)


def test_nan_and_infinity_go_where_the_reference_has_them() -> None:
    for number in (torch.nan, torch.inf):
        for name in ("u", "delta", "B", "C", "z"):
            x = Numbers(torch.float32, "bld").inputs((1, 40, 20, 5))
            getattr(x, name)[0, 0, 7, 2] = number
            found, expected = numba_forward.forward(x, False).y, reference.forward(x, False).y
            assert torch.equal(found.isfinite(), expected.isfinite()), (name, number)


def test_threads_do_not_change_the_numbers() -> None:
    x = Numbers(torch.float32, "bld").inputs((2, 70, 144, 5), (True, False), "add")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = numba_forward.forward(x, True)
        torch.set_num_threads(3)
        together = numba_forward.forward(x, True)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
